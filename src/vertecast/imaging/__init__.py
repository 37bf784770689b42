"""The only reader and writer of images: DICOM, NIfTI, NRRD and MHA to one ``Volume`` or ``LabelMap`` in LPS.

The names that other packages use, by module (nothing is imported here, so that ``info`` stays light):

``read``           :func:`read_volume`, :func:`read_labels`
``match``          :func:`matched_labels`: labels onto the CT's grid, or refused
``labels``         :func:`recoded`: the same map in another numbering
``dialects``       :data:`CHOICES`, what ``--dialect`` takes
``resample``       :func:`resampled`, :func:`resampled_mask`, :func:`resampled_labels`, :func:`cropped`,
                   :func:`reoriented`, :func:`aligned_grid`, :func:`signed_distance`
``write``          :func:`write_nifti`, :func:`write_nrrd`, :func:`write_seg_nrrd`
``write_dicom``    :func:`write_dicom_series`
``segmentation``   :func:`write_dicom_seg`
``calibration``    :class:`Calibration`: HU to density
``grid``, ``volume``  the types
"""
