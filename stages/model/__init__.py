"""The trained model: networks, the model folder, the device it runs on."""
