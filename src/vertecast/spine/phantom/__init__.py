"""A made thoracolumbar spine CT with exact truth: the demonstration's patient and the measure of every measurement."""
