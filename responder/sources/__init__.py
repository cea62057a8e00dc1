"""Where alerts come from and how they are asked: decoding deliveries, asking APIs."""
