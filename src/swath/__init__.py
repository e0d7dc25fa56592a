"""swath: decide which multi-sensor scenes to label next."""
