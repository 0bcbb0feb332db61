"""What more than one stage needs: parameters, file formats, the network."""
