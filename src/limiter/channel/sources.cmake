# Sources of this part of the limiter; included by src/limiter/CMakeLists.txt.
set(DIVVY_LIMITER_CHANNEL_SOURCES
    channel/channel.c
    channel/lease.c
    channel/pod.c
    channel/report.c
    channel/visible.c)
