"""What operators see: metrics, logs, health. Watches every arrow and can neither stop nor change one."""
