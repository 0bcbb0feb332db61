"""The first stage: photos to the store."""
