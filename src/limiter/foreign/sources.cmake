# Sources of this part of the limiter; included by src/limiter/CMakeLists.txt.
set(DIVVY_LIMITER_FOREIGN_SOURCES foreign/file.c foreign/graph.c foreign/source.c foreign/toll.c)
