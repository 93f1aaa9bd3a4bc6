/* Workers in the state file: TensorFusion's WorkerInfo. */
#ifndef DIVVY_BACKEND_WORKER_JSON_H
#define DIVVY_BACKEND_WORKER_JSON_H

#include "backend/filestate.h"
#include "node/worker.h"

/* What of an element is ours to tell, and no wish of anybody's: changes of it are no changes of the worker. */
#define DIVVY_BACKEND_OWN_PORT    "ListenPort"
#define DIVVY_BACKEND_OWN_MESSAGE "Message"

/*
 * An element as a worker. Keys that are missing have their defaults (QoS medium). -EINVAL: a value of a wrong type, an unknown word, a
 * quantity that is none; `error` names worker and key. ret_worker->uid is set whenever the element has one.
 */
int divvy_backend_worker_read(const json_t *object, struct divvy_node_worker *ret_worker, struct divvy_error *error);

/* Sets all keys of a worker in their order; those that tell of its process, and foreign ones, stay. 0 or -ENOMEM. */
int divvy_backend_worker_write(const struct divvy_node_worker *worker, json_t *object);

/* Whether two elements wish for the same. */
bool divvy_backend_worker_same(const json_t *a, const json_t *b);

/*
 * Whether it shall run. Terminated and deleted workers shall not; of pending ones only those that say how: an agent writes Pending for a worker
 * that is switched off.
 */
bool divvy_backend_worker_is_wanted(const json_t *object, const struct divvy_node_worker *worker);

#endif
