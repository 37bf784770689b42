"""What people look at: all plotting and 3-D lives here."""
