/*
 * The hooks whose bodies are in limiter/compute, one row each: X(symbol, compute, "what the hook does"). The body is
 * `CUresult divvy_hook_<symbol>(parameters of the driver table)`. limiter/hook/table.h joins these rows with its own:
 * exports, lookups and docs/COVERAGE.md follow from a row alone.
 */
#ifndef DIVVY_LIMITER_COMPUTE_HOOKS_TABLE_H
#define DIVVY_LIMITER_COMPUTE_HOOKS_TABLE_H

#define DIVVY_COMPUTE_HOOKS(X)

#endif
