"""The only reader and writer of images: DICOM, NIfTI, NRRD and MHA to one ``Volume`` or ``LabelMap`` in LPS."""
