"""The procedure in time: states and steps from the access to the cured cement, and what they tell as events."""
