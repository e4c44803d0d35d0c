"""From codes to an order: neighbours, tours and schedules. It knows of codes only."""
