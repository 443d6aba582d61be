"""Two models' latent spaces beside each other: whether what reads the one can read the other."""
