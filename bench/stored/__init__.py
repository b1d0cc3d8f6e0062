"""What questions and new hits cost where many hits are stored: measured on a copy of the data set."""
