"""Vertebrae measured: frames, endplates, heights, angles, grades, density, clefts; phantom and virtual fracture."""
