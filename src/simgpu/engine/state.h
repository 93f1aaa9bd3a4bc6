/* The state file: where it is, making it, trusting it. Internal to the engine. */
#ifndef DIVVY_SIMGPU_STATE_H
#define DIVVY_SIMGPU_STATE_H

#include "simgpu/engine/config.h"

/* Path of the directory of the state file. -ENAMETOOLONG. */
int sim_state_directory(char *buf, size_t size);
/* Opens, or makes, the state file of this environment and maps it. Errors and error as divvy_simgpu_attach. The
 * file lock is held on return: the caller takes its slot, then closes *ret_fd by sim_state_unlock. Mapped memory
 * does not pass to fork children. */
int sim_state_open(unsigned flags, sim_file_t **ret_file, int *ret_fd, char *error);
void sim_state_unlock(int fd);
void sim_state_unmap(sim_file_t *file);
/* Removes the state file, whatever it holds. -EBUSY: processes live in it (pid of one in ret_pid) and not force. */
int sim_state_remove(bool force, int *ret_pid);
/* Makes sure that pages of the state file exist, so that touching them cannot raise SIGBUS. -ENOSPC. */
int sim_state_populate(void *address, size_t bytes);
/* Gives pages of the state file back; they read as zero. */
void sim_state_discard(void *address, size_t bytes);
/* A machine of this configuration in fresh memory of this process and its children (mapped shared), for tests. */
void sim_state_init(sim_file_t *f, const sim_config_t *config);

#endif
