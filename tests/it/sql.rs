//! What a query costs: plans, and how much is encoded.
