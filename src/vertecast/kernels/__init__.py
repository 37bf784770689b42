"""Array numerics with no medical noun: voxel elasticity, diffusion, multigrid, ray casting."""
