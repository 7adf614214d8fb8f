"""What programs ask Holdfast."""
