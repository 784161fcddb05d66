#pragma once
// What a zero_checkpoint is: a store of the optimizer's state, and what came with the checkpoint
// that was loaded last. Owned by its zero_optimizer, whose gate its calls pass. One thread at a
// time.

#include <zero/checkpoint.h>
#include <zero/checkpoint/store.hpp>

struct zero_checkpoint {
  zero_checkpoint(zero_optimizer& of, zero::collectives::communicator& ranks,
                  const zero_checkpoint_config& config);

  zero_optimizer& owner;
  zero::checkpoint::store store;
  zero::checkpoint::loaded found;
};
