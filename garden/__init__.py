"""The built-in garden: drawn photos of six flowers, so that a fresh clone needs no download."""
