"""The post-incident document, written from the recorded facts alone: the same incident gives the same bytes."""
