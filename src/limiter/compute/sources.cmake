# Sources of this part of the limiter; included by src/limiter/CMakeLists.txt.
set(DIVVY_LIMITER_COMPUTE_SOURCES
    compute/account.c
    compute/attach.c
    compute/cost.c
    compute/event.c
    compute/gate.c
    compute/hooks_graph.c
    compute/hooks_launch.c
    compute/hooks_stream.c
    compute/hooks_work.c
    compute/lease.c
    compute/neighbours.c
    compute/settle.c
    compute/state_work.c)
