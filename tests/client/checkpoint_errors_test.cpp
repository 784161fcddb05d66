// Checkpoints that are refused or fail: the handle stays of use, on every rank.

#include "bare_client.hpp"
#include "offload/scratch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

zero_checkpoint_config config_in(const std::string& directory) {
  zero_checkpoint_config config;
  zero_checkpoint_config_init(&config);
  config.directory = directory.c_str();
  return config;
}

zero_checkpoint* open_in(zero_optimizer* z, const std::string& directory) {
  const zero_checkpoint_config config = config_in(directory);
  zero_checkpoint* c = nullptr;
  expect_ok(z, zero_checkpoint_open(z, &config, &c));
  return c;
}

// Of a class of its own, and the handle goes on.
void expect_harmless(zero_optimizer* z, zero_status status, zero_status right,
                     const std::string& says) {
  EXPECT_EQ(status, right) << zero_last_error(z);
  EXPECT_NE(std::string(zero_last_error(z)).find(says), std::string::npos)
      << "'" << zero_last_error(z) << "' does not say '" << says << "'";
  EXPECT_EQ(zero_first_error(z), ZERO_OK);
}

TEST(client_checkpoint_misuse, of_open_is_refused) {
  const scratch_directory scratch;
  const zero_checkpoint_config good = config_in(scratch.path());
  zero_checkpoint* c = nullptr;
  with_open(config_of({}), [&](zero_optimizer* z) {
    expect_refused(z, zero_checkpoint_open(z, &good, &c), "zero_commit comes first");
    EXPECT_EQ(c, nullptr);
  });
  with_clients(1, {}, [&](zero_optimizer* z, flat_model&, int) {
    EXPECT_EQ(zero_checkpoint_open(nullptr, &good, &c), ZERO_INVALID);
    expect_refused(z, zero_checkpoint_open(z, nullptr, &c), "null pointer");
    expect_refused(z, zero_checkpoint_open(z, &good, nullptr), "null pointer");
    const auto refused = [&](const std::string& says, auto change) {
      zero_checkpoint_config bad = good;
      change(bad);
      expect_refused(z, zero_checkpoint_open(z, &bad, &c), says);
    };
    refused("struct_size is 3", [](auto& bad) { bad.struct_size = 3; });
    refused("no directory", [](auto& bad) { bad.directory = nullptr; });
    refused("no directory", [](auto& bad) { bad.directory = ""; });
    refused("keep -1", [](auto& bad) { bad.keep = -1; });
    refused("background", [](auto& bad) { bad.background = 2; });
    refused("take_over", [](auto& bad) { bad.take_over = -1; });
    zero_checkpoint_config older{};
    EXPECT_EQ(zero_checkpoint_config_init_sized(nullptr, 16), ZERO_INVALID);
    EXPECT_EQ(zero_checkpoint_config_init_sized(&older, sizeof older + 1), ZERO_INVALID);
    // A header that ends after the directory.
    EXPECT_EQ(zero_checkpoint_config_init_sized(&older, 2 * sizeof(void*)), ZERO_OK);
    EXPECT_EQ(older.keep, 0);
    older.directory = good.directory;
    expect_ok(z, zero_checkpoint_open(z, &older, &c));
    zero_checkpoint* second = nullptr;
    expect_refused(z, zero_checkpoint_open(z, &good, &second), "zero_checkpoint_close first");
    expect_ok(z, zero_checkpoint_close(c));
    expect_ok(z, zero_checkpoint_open(z, &good, &second));
    expect_ok(z, zero_checkpoint_close(second));
  });
}

TEST(client_checkpoint_misuse, of_save_and_load_is_refused) {
  const scratch_directory scratch;
  with_clients(1, {}, [&](zero_optimizer* z, flat_model& model, int) {
    zero_checkpoint* const c = open_in(z, scratch.path());
    expect_refused(z, zero_checkpoint_save(c, 1, nullptr, 1), "null pointer");
    const zero_attachment twice[] = {{"a", "x", 1}, {"a", "y", 1}};
    expect_refused(z, zero_checkpoint_save(c, 1, twice, 2), "two attachments are called 'a'");
    const zero_attachment nameless[] = {{nullptr, "x", 1}};
    expect_refused(z, zero_checkpoint_save(c, 1, nameless, 1), "attachment 0");
    const std::string name(201, 'n');
    const zero_attachment longer[] = {{name.c_str(), "x", 1}};
    EXPECT_EQ(zero_checkpoint_save(c, 1, longer, 1), ZERO_INVALID);
    EXPECT_EQ(zero_first_error(z), ZERO_OK);
    zero_checkpoint_report report{};
    expect_refused(z, zero_checkpoint_load(c, &report), "struct_size is 0");
    report.struct_size = sizeof report;
    expect_ok(z, zero_checkpoint_load(c, &report));
    EXPECT_EQ(report.found, 0);
    expect_ok(z, zero_checkpoint_finish(c, &report));
    EXPECT_EQ(report.found, 0);
    EXPECT_EQ(zero_checkpoint_passed_over(c, 0), nullptr);

    model.forward_backward(0, 0);
    expect_refused(z, zero_checkpoint_save(c, 1, nullptr, 0), "between two steps");
    expect_refused(z, zero_checkpoint_load(c, nullptr), "between two steps");
    expect_ok(z, zero_step(z, 0.01, nullptr));
    expect_ok(z, zero_checkpoint_save(c, 5, nullptr, 0));
    EXPECT_EQ(zero_checkpoint_save(c, 5, nullptr, 0), ZERO_INVALID);
    EXPECT_EQ(zero_checkpoint_save(c, 4, nullptr, 0), ZERO_INVALID);
    expect_ok(z, zero_full_begin(z, ZERO_ON_ALL, ZERO_READ));
    expect_refused(z, zero_checkpoint_save(c, 6, nullptr, 0), "zero_full_end comes first");
    expect_ok(z, zero_full_end(z));
    expect_ok(z, zero_checkpoint_close(c));
    EXPECT_EQ(zero_checkpoint_close(nullptr), ZERO_OK);
    EXPECT_EQ(zero_checkpoint_save(nullptr, 1, nullptr, 0), ZERO_INVALID);
    EXPECT_EQ(zero_checkpoint_load(nullptr, nullptr), ZERO_INVALID);
    EXPECT_EQ(zero_checkpoint_finish(nullptr, nullptr), ZERO_INVALID);
  });
}

TEST(client_checkpoint_misuse, another_model_or_rule_is_refused_by_name) {
  const scratch_directory scratch;
  const auto save = [&](zero_optimizer* z, flat_model&, int) {
    zero_checkpoint* c = open_in(z, scratch.path());
    expect_ok(z, zero_checkpoint_save(c, 1, nullptr, 0));
    expect_ok(z, zero_checkpoint_close(c));
  };
  with_clients(2, {}, save);
  with_clients(2, sgd(3), [&](zero_optimizer* z, flat_model& model, int) {
    const std::string before = digest_of(z);
    zero_checkpoint* c = open_in(z, scratch.path());
    expect_refused(z, zero_checkpoint_load(c, nullptr), "trained by adamw and is to be by sgd");
    EXPECT_EQ(digest_of(z), before);
    EXPECT_GT(train_step(z, model, 0), 0.0);
    expect_ok(z, zero_checkpoint_close(c));
  });
  run_clients(1, [&](zero_ranks& own) {
    const handle one(own, {});
    std::vector<float> parameter(12), gradient(12);
    const zero_segment s = named("tensor.0", parameter.data(), gradient.data(), 12);
    expect_ok(one.z, zero_attach(one.z, &s, 1, sizeof s));
    expect_ok(one.z, zero_commit(one.z));
    zero_checkpoint* c = open_in(one.z, scratch.path());
    expect_refused(one.z, zero_checkpoint_load(c, nullptr), "'tensor.0' is [37] there and [12]");
  });
}

TEST(client_checkpoint_misuse, ranks_that_differ_are_told) {
  const scratch_directory scratch;
  run_clients(3, [&](zero_ranks& own) {
    zero_optimizer* z = create(own, config_of({}));
    flat_model model(z, {}, own.communicator->rank());
    zero_checkpoint* c = open_in(z, scratch.path());
    const std::uint64_t step = own.communicator->rank() == 1 ? 8 : 7;
    EXPECT_EQ(zero_checkpoint_save(c, step, nullptr, 0), ZERO_DESYNC);
    EXPECT_NE(std::string(zero_last_error(z)).find("checkpoint_save of step 8"), std::string::npos)
        << zero_last_error(z);
    EXPECT_EQ(zero_close(z), ZERO_DESYNC);
  });
}

TEST(client_checkpoint_failure, a_directory_that_cannot_be_changes_nothing) {
  const scratch_directory scratch;
  std::ofstream(scratch / "file") << "no directory";
  with_clients(2, {}, [&](zero_optimizer* z, flat_model& model, int) {
    for (const std::string& path : {scratch / "file", scratch / "file/below"}) {
      const zero_checkpoint_config config = config_in(path);
      zero_checkpoint* c = nullptr;
      EXPECT_NE(zero_checkpoint_open(z, &config, &c), ZERO_OK);
      EXPECT_NE(std::string(zero_last_error(z)).find("file"), std::string::npos);
      EXPECT_EQ(c, nullptr);
      EXPECT_EQ(zero_first_error(z), ZERO_OK);
    }
    EXPECT_GT(train_step(z, model, 0), 0.0);
    expect_ok(z, zero_checkpoint_close(open_in(z, scratch / "made/below")));
  });
}

TEST(client_checkpoint_failure, another_run_owns_the_directory) {
  const scratch_directory scratch;
  with_clients(1, {}, [&](zero_optimizer* z, flat_model&, int) {
    zero_checkpoint* const mine = open_in(z, scratch.path());
    with_clients(2, {}, [&](zero_optimizer* other, flat_model& model, int) {
      const zero_checkpoint_config config = config_in(scratch.path());
      zero_checkpoint* c = nullptr;
      expect_refused(other, zero_checkpoint_open(other, &config, &c), std::to_string(getpid()));
      EXPECT_GT(train_step(other, model, 0), 0.0);
      zero_checkpoint_config taking = config;
      taking.take_over = 1;
      expect_ok(other, zero_checkpoint_open(other, &taking, &c));
      expect_ok(other, zero_checkpoint_save(c, 1, nullptr, 0));
      expect_ok(other, zero_checkpoint_close(c));
    });
    EXPECT_NE(zero_checkpoint_save(mine, 2, nullptr, 0), ZERO_OK);
    EXPECT_EQ(zero_first_error(z), ZERO_OK);
    EXPECT_FALSE(std::filesystem::exists(scratch / "step-000000000002"));
    expect_ok(z, zero_checkpoint_close(mine));
  });
}

// The directory goes away under the run: every rank is told the same, and training goes on as if
// nothing had been asked.
TEST(client_checkpoint_failure, a_save_that_fails_is_told_everywhere_and_training_goes_on) {
  for (const bool background : {false, true}) {
    std::string right;
    with_clients(3, {}, [&](zero_optimizer* z, flat_model& model, int rank) {
      for (int step = 0; step < 3; ++step) train_step(z, model, step);
      const std::string digest = digest_of(z);
      if (rank == 0) right = digest;
    });
    const scratch_directory scratch;
    std::vector<std::string> texts(3);
    with_clients(3, {}, [&](zero_optimizer* z, flat_model& model, int rank) {
      const std::string directory = scratch / "runs";
      zero_checkpoint_config config = config_in(directory);
      config.background = background ? 1 : 0;
      zero_checkpoint* c = nullptr;
      expect_ok(z, zero_checkpoint_open(z, &config, &c));
      train_step(z, model, 0);
      if (rank == 0) std::filesystem::remove_all(directory);
      double none = 0;
      expect_ok(z, zero_sum(z, &none, 1));  // the others are told
      zero_status status = zero_checkpoint_save(c, 1, nullptr, 0);
      train_step(z, model, 1);
      if (status == ZERO_OK) status = zero_checkpoint_finish(c, nullptr);
      EXPECT_NE(status, ZERO_OK);
      texts[static_cast<std::size_t>(rank)] = zero_last_error(z);
      EXPECT_EQ(zero_first_error(z), ZERO_OK);
      train_step(z, model, 2);
      EXPECT_EQ(digest_of(z), right);
      static_cast<void>(zero_checkpoint_close(c));
      expect_ok(z, zero_checkpoint_close(open_in(z, scratch / "again")));
    });
    EXPECT_EQ(texts[1], texts[0]);
    EXPECT_EQ(texts[2], texts[0]);
    EXPECT_NE(texts[0], "");
  }
}

void flip_a_byte(const std::string& file) {
  std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
  f.seekg(-9, std::ios::end);
  const char byte = static_cast<char>(f.get());
  f.seekp(-9, std::ios::end);
  f.put(static_cast<char>(byte ^ 0x10));
}

TEST(client_checkpoint_failure, what_does_not_verify_is_passed_over_or_refused) {
  const scratch_directory scratch;
  std::string first;
  with_clients(2, {}, [&](zero_optimizer* z, flat_model& model, int rank) {
    zero_checkpoint* c = open_in(z, scratch.path());
    for (std::uint64_t step = 1; step <= 2; ++step) {
      train_step(z, model, static_cast<int>(step));
      expect_ok(z, zero_checkpoint_save(c, step, nullptr, 0));
      const std::string digest = digest_of(z);
      if (rank == 0 && step == 1) first = digest;
    }
    expect_ok(z, zero_checkpoint_close(c));
  });
  flip_a_byte(scratch / "step-000000000002/rank-00001-of-00002.safetensors");
  with_clients(3, {}, [&](zero_optimizer* z, flat_model&, int) {
    zero_checkpoint* c = open_in(z, scratch.path());
    zero_checkpoint_report found{};
    found.struct_size = sizeof found;
    expect_ok(z, zero_checkpoint_load(c, &found));
    EXPECT_EQ(found.step, 1U);
    ASSERT_EQ(found.passed_over, 1U);
    const std::string why = zero_checkpoint_passed_over(c, 0);
    EXPECT_NE(why.find("step-000000000002"), std::string::npos) << why;
    EXPECT_EQ(zero_checkpoint_passed_over(c, 1), nullptr);
    EXPECT_EQ(digest_of(z), first);
    expect_ok(z, zero_checkpoint_close(c));
  });
  flip_a_byte(scratch / "step-000000000001/rank-00000-of-00002.safetensors");
  with_clients(3, {}, [&](zero_optimizer* z, flat_model& model, int) {
    train_step(z, model, 0);
    const std::string before = digest_of(z);
    zero_checkpoint* c = open_in(z, scratch.path());
    expect_harmless(z, zero_checkpoint_load(c, nullptr), ZERO_CORRUPT,
                    "no checkpoint can be loaded");
    EXPECT_EQ(digest_of(z), before);
    EXPECT_GT(train_step(z, model, 1), 0.0);
    expect_ok(z, zero_checkpoint_close(c));
  });
}

// A poisoned handle saves nothing, and can be closed.
TEST(client_checkpoint_failure, a_poisoned_handle_gives_its_first_error) {
  const scratch_directory scratch;
  run_clients(1, [&](zero_ranks& own) {
    flat_run run;
    run.rule = ZERO_OWN_RULE;
    run.adjust = [](zero_config& config) { config.own_states = 1; };
    zero_optimizer* z = create(own, config_of(run));
    flat_model model(z, run, 0);
    zero_checkpoint* c = open_in(z, scratch.path());
    model.forward_backward(0, 0);
    const auto fails = [](void*, const zero_update_range*) { return 7; };
    EXPECT_EQ(zero_step_with(z, 0.01, fails, nullptr, nullptr), ZERO_CALLBACK);
    EXPECT_EQ(zero_checkpoint_save(c, 1, nullptr, 0), ZERO_CALLBACK);
    EXPECT_EQ(zero_checkpoint_load(c, nullptr), ZERO_CALLBACK);
    EXPECT_EQ(zero_checkpoint_close(c), ZERO_CALLBACK);
    EXPECT_EQ(zero_close(z), ZERO_CALLBACK);
  });
}

}  // namespace
}  // namespace zero::testing
