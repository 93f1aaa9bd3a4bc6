/* A library to preload that does nothing: divvy run is tested apart from the limiter. */
int fake_limiter_present;
