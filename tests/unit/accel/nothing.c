/* A shared object that is no accelerator library. */
extern const int nothing;
const int nothing = 0;
