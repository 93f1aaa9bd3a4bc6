#include "simgpu/driver/capture.h"
_Atomic unsigned divvy_drv_captures;
CUresult divvy_drv_capture_check(void){return CUDA_SUCCESS;}
CUresult divvy_drv_capture_check_context(divvy_drv_context_t *c){(void)c;return CUDA_SUCCESS;}
CUresult divvy_drv_capture_check_stream(divvy_drv_stream_t *c){(void)c;return CUDA_SUCCESS;}
CUresult divvy_drv_capture_check_event(divvy_drv_event_t *c){(void)c;return CUDA_SUCCESS;}
CUresult divvy_drv_capture_op(divvy_drv_stream_t *s, const divvy_drv_op_t *op, bool *t){(void)s;(void)op;*t=false;return CUDA_SUCCESS;}
CUresult divvy_drv_capture_record(divvy_drv_stream_t *s, divvy_drv_event_t *e, unsigned f,bool *t){(void)s;(void)e;(void)f;*t=false;return CUDA_SUCCESS;}
CUresult divvy_drv_capture_wait(divvy_drv_stream_t *s, divvy_drv_event_t *e, unsigned f,bool *t){(void)s;(void)e;(void)f;*t=false;return CUDA_SUCCESS;}
void divvy_drv_capture_abandon(divvy_drv_stream_t *s){(void)s;}
void divvy_drv_capture_forget_event(divvy_drv_event_t *s){(void)s;}

#include "simgpu/driver/graph_memory.h"
CUresult divvy_drv_graph_memory_capture_alloc(divvy_drv_stream_t *s, const CUmemPoolProps *p, uint64_t b, CUdeviceptr *a, bool *t){(void)s;(void)p;(void)b;(void)a;*t=false;return CUDA_SUCCESS;}
CUresult divvy_drv_graph_memory_capture_free(divvy_drv_stream_t *s, CUdeviceptr a, bool *t){(void)s;(void)a;*t=false;return CUDA_SUCCESS;}
CUresult divvy_drv_graph_memory_free_async(CUdeviceptr a, divvy_drv_stream_t *s){(void)s;(void)a;return CUDA_ERROR_INVALID_VALUE;}
CUresult divvy_drv_graph_memory_free(CUdeviceptr a){(void)a;return CUDA_ERROR_INVALID_VALUE;}
