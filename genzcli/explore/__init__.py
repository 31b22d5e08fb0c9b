"""Many scenarios: choosing a plan, curing a misfit. Each asks the engine; none computes physics."""
