"""What tests share: real parts that start and end on loopback, and what they are watched with."""
