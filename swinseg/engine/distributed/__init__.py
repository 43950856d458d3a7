"""Training by several processes: launching, data parallel and fully sharded (FSDP) models."""
