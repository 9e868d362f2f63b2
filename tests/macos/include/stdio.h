/* All that llama.h wants of the C library. */
typedef struct FILE FILE;
