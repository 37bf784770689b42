"""A run folder in the formats of other systems: DICOM, FHIR, meshes, tables. Each module reads the folder alone."""
