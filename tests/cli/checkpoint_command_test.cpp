// `zero checkpoint`, the real binary, on checkpoints that are whole, damaged or not there. What
// export and reshard write is judged in tests/campaign.

#include "cli/checkpoint_scratch.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace zero::test {
namespace {

namespace fs = std::filesystem;

class CheckpointCommand : public Checkpoints {
 protected:
  CheckpointCommand() {
    EXPECT_EQ(run_job("report", 4,
                      {"--checkpoint", at("kept"), "--save-every", "2", "--optimizer", "adamw"})
                  .exit_code,
              0);
  }
  ran checkpoint(const words& options) {
    return run(joined({ZERO_COMMAND, "checkpoint"}, options));
  }
};

TEST_F(CheckpointCommand, InspectSaysWhatThereIs) {
  const ran r = checkpoint({"inspect", at("kept"), "--json"});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  const json seen = json::parse(r.output);
  EXPECT_EQ(seen.at("schema"), "zero.inspect/1");
  ASSERT_EQ(seen.at("checkpoints").size(), 2U);
  EXPECT_EQ(seen.at("checkpoints").at(0).at("name"), "step-000000000004");
  EXPECT_EQ(seen.at("checkpoints").at(1).at("step"), 2);
  const json& newest = seen.at("newest");
  EXPECT_EQ(newest.at("step"), 4);
  EXPECT_EQ(newest.at("ranks"), 2);
  EXPECT_EQ(newest.at("updates"), 4);
  EXPECT_EQ(newest.at("algorithm"), "adamw");
  EXPECT_EQ(newest.at("states"), json({"exp_avg", "exp_avg_sq"}));
  EXPECT_EQ(newest.at("parameters").at(0).at("name"), "wte.weight");
  EXPECT_EQ(newest.at("parameters").at(0).at("shape"), json({256, 8}));
  std::uint64_t bytes = 0;
  for (const json& file : newest.at("files")) {
    const auto size =
        fs::file_size(at("kept/step-000000000004/" + file.at("name").get<std::string>()));
    EXPECT_EQ(file.at("bytes"), size);
    bytes += size;
  }
  EXPECT_EQ(newest.at("bytes"), bytes);
  EXPECT_GT(newest.at("files").at(0).at("client").at("zero train"), 10);

  const ran text = checkpoint({"inspect", at("kept/step-000000000002/")});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_NE(text.output.find("2 updates in 2 steps"), std::string::npos) << text.output;
  EXPECT_EQ(text.output.find("step-000000000004"), std::string::npos) << text.output;
}

TEST_F(CheckpointCommand, VerifyFindsTheFault) {
  const ran whole = checkpoint({"verify", at("kept")});
  EXPECT_EQ(whole.exit_code, 0) << whole.errors;
  EXPECT_EQ(lines_in(whole.output), 2);
  const std::string file = "kept/step-000000000002/rank-00001-of-00002.safetensors";
  const auto bytes = fs::file_size(at(file));
  for (const std::uint64_t byte : {std::uint64_t{3}, std::uint64_t{500}, bytes / 2, bytes - 1}) {
    flip(file, byte);
    const ran r = checkpoint({"verify", at("kept"), "--json"});
    EXPECT_EQ(r.exit_code, 5) << byte;
    const json seen = json::parse(r.output);
    EXPECT_TRUE(seen.at("checkpoints").at(0).at("whole").get<bool>());
    const json& fault = seen.at("checkpoints").at(1);
    EXPECT_FALSE(fault.at("whole").get<bool>());
    EXPECT_NE(fault.at("file").get<std::string>().find(file), std::string::npos) << fault;
    EXPECT_LE(fault.at("offset").get<std::uint64_t>(), byte);
    flip(file, byte);
  }
  flip(file, bytes - 1);
  const ran r = checkpoint({"verify", at("kept"), "--step", "2"});
  EXPECT_EQ(r.exit_code, 5);
  EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
  for (const char* part : {"rank-00001-of-00002.safetensors", "checksum", "header"}) {
    EXPECT_NE(r.errors.find(part), std::string::npos) << r.errors;
  }
  EXPECT_EQ(checkpoint({"verify", at("kept"), "--step", "4"}).exit_code, 0);
}

TEST_F(CheckpointCommand, AFileThatIsGoneOrShortIsAFault) {
  const std::string file = at("kept/step-000000000004/rank-00000-of-00002.safetensors");
  fs::resize_file(file, fs::file_size(file) - 1);
  EXPECT_EQ(checkpoint({"verify", at("kept"), "--step", "4"}).exit_code, 5);
  fs::remove(file);
  const ran r = checkpoint({"verify", at("kept"), "--step", "4"});
  EXPECT_EQ(r.exit_code, 5) << r.errors;
  EXPECT_NE(r.errors.find("rank-00000-of-00002"), std::string::npos) << r.errors;
}

TEST_F(CheckpointCommand, ExportTakesTheNewestThatHasAManifest) {
  flip("kept/step-000000000004/manifest.json", 100);
  const ran r = checkpoint({"export", at("kept"), at("weights.safetensors"), "--json"});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_NE(r.errors.find("passed over step-000000000004"), std::string::npos) << r.errors;
  EXPECT_EQ(json::parse(r.output).at("from"), "step-000000000002");
  EXPECT_GT(fs::file_size(at("weights.safetensors")), 4U * 3000);
}

TEST_F(CheckpointCommand, ExportDoesNotWriteOverWhatItReads) {
  for (const char* inside : {"kept/step-000000000004/rank-00000-of-00002.safetensors",
                             "kept/step-000000000004/manifest.json", "kept/new.safetensors"}) {
    const ran r = checkpoint({"export", at("kept") + "/", at(inside)});
    EXPECT_EQ(r.exit_code, 2) << r.errors;
    EXPECT_NE(r.errors.find("inside the checkpoint directory"), std::string::npos) << r.errors;
  }
  EXPECT_EQ(checkpoint({"verify", at("kept")}).exit_code, 0);
}

TEST_F(CheckpointCommand, WhatIsDamagedIsNeitherExportedNorResharded) {
  flip("kept/step-000000000004/rank-00001-of-00002.safetensors", 9000);
  EXPECT_EQ(checkpoint({"export", at("kept"), at("weights.safetensors")}).exit_code, 5);
  EXPECT_FALSE(fs::exists(at("weights.safetensors")));
  const ran r = checkpoint({"reshard", at("kept"), "--ranks", "3", "--stage", "1", at("out")});
  EXPECT_EQ(r.exit_code, 5) << r.errors;
  EXPECT_FALSE(fs::exists(at("out")));
}

TEST_F(CheckpointCommand, AFailedReshardLeavesNothing) {
  flip("kept/step-000000000004/rank-00001-of-00002.safetensors", 9000);
  const auto reshard = [&](const std::string& out) {
    return checkpoint({"reshard", at("kept"), "--ranks", "3", "--stage", "1", at(out)}).exit_code;
  };
  EXPECT_EQ(reshard("a/b/c"), 5);
  EXPECT_FALSE(fs::exists(at("a")));
  fs::create_directory(at("empty"));
  EXPECT_EQ(reshard("empty"), 5);
  EXPECT_TRUE(names_in("empty").empty());
  // What was there stays, and so does the number of the last owner or a later one.
  fs::create_directory(at("used"));
  std::ofstream(at("used/.epoch-7")) << "";
  std::ofstream(at("used/notes")) << "";
  EXPECT_EQ(reshard("used"), 5);
  EXPECT_EQ(names_in("used"), (std::set<std::string>{".epoch-8", ".lock", "notes"}));
}

TEST_F(CheckpointCommand, PartsThatAreGoneOrOddAreDamage) {
  const std::string file = at("kept/step-000000000004/rank-00001-of-00002.safetensors");
  const auto expect_damage = [&] {
    const ran exported = checkpoint({"export", at("kept"), at("weights.safetensors")});
    EXPECT_EQ(exported.exit_code, 5) << exported.errors;
    EXPECT_FALSE(fs::exists(at("weights.safetensors")));
    const ran r = checkpoint({"reshard", at("kept"), "--ranks", "3", "--stage", "1", at("out")});
    EXPECT_EQ(r.exit_code, 5) << r.errors;
    EXPECT_FALSE(fs::exists(at("out")));
    // Both are told of, in the JSON too.
    const ran verified = checkpoint({"verify", at("kept"), "--json"});
    EXPECT_EQ(verified.exit_code, 5) << verified.errors;
    const json seen = json::parse(verified.output).at("checkpoints");
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_FALSE(seen.at(0).at("whole").get<bool>());
    EXPECT_EQ(seen.at(0).at("kind"), 5);
    EXPECT_EQ(seen.at(0).at("file"), file);
    EXPECT_TRUE(seen.at(1).at("whole").get<bool>());
  };
  fs::remove(file);
  expect_damage();
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  expect_damage();
  fs::remove(file);
  fs::create_directory(file);
  expect_damage();
  fs::remove(file);
  fs::create_symlink(at("text"), file);
  expect_damage();
}

TEST_F(CheckpointCommand, AManifestThatIsAPipeHoldsNobodyUp) {
  const std::string file = at("kept/step-000000000004/manifest.json");
  fs::remove(file);
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(checkpoint({"verify", at("kept")}).exit_code, 5);
  EXPECT_EQ(checkpoint({"inspect", at("kept")}).exit_code, 0);
  const ran r = checkpoint({"export", at("kept"), at("weights.safetensors")});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_NE(r.errors.find("passed over step-000000000004"), std::string::npos) << r.errors;
}

// What may not be read may be whole: that is told as what it is, of each.
TEST_F(CheckpointCommand, VerifyGoesOnAfterWhatItCannotRead) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const std::string file = at("kept/step-000000000004/rank-00001-of-00002.safetensors");
  fs::permissions(file, fs::perms::none);
  const ran r = checkpoint({"verify", at("kept"), "--json"});
  EXPECT_EQ(r.exit_code, 1) << r.errors;
  const json seen = json::parse(r.output).at("checkpoints");
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_FALSE(seen.at(0).at("whole").get<bool>());
  EXPECT_EQ(seen.at(0).at("kind"), 1);
  EXPECT_TRUE(seen.at(1).at("whole").get<bool>());
  flip("kept/step-000000000002/rank-00001-of-00002.safetensors", 9000);
  EXPECT_EQ(checkpoint({"verify", at("kept")}).exit_code, 5);
}

TEST_F(CheckpointCommand, ReshardDoesNotReplaceWhatIsThere) {
  const std::set<std::string> before = names_in("kept");  // the number of its owner too
  const ran r = checkpoint({"reshard", at("kept"), "--ranks", "3", "--stage", "1", at("kept")});
  expect_refused(r, "already holds step-000000000004");
  EXPECT_EQ(names_in("kept"), before);
  EXPECT_EQ(checkpoint({"verify", at("kept")}).exit_code, 0);
}

TEST_F(CheckpointCommand, WrongWords) {
  expect_refused(checkpoint({}), "inspect|verify DIR");
  expect_refused(checkpoint({"mend", at("kept")}), "'mend'");
  expect_refused(checkpoint({"inspect"}), "DIR is missing");
  expect_refused(checkpoint({"inspect", ""}), "DIR is ''");
  expect_refused(checkpoint({"export", at("kept"), ""}), "FILE is ''");
  expect_refused(checkpoint({"reshard", at("kept"), "", "--ranks", "2", "--stage", "0"}),
                 "OUT is ''");
  expect_refused(checkpoint({"inspect", at("kept"), "more"}), "unexpected argument 'more'");
  expect_refused(checkpoint({"inspect", at("nothing")}), "is no folder");
  expect_refused(checkpoint({"verify", at("")}), "holds no checkpoint");
  expect_refused(checkpoint({"verify", at("kept"), "--step", "3"}), "no checkpoint of step 3");
  expect_refused(checkpoint({"verify", at("kept"), "--ranks", "3"}), "--ranks is for reshard");
  expect_refused(checkpoint({"export", at("kept")}), "FILE is missing");
  expect_refused(checkpoint({"export", at("kept"), at("no/such/file")}), "cannot be written");
  expect_refused(checkpoint({"reshard", at("kept"), "--stage", "1", at("out")}),
                 "--ranks is missing");
  expect_refused(checkpoint({"reshard", at("kept"), "--ranks", "2", at("out")}),
                 "--stage is missing");
  expect_refused(checkpoint({"reshard", at("kept"), "--ranks", "0", "--stage", "1", at("out")}),
                 "--ranks: '0'");
  EXPECT_FALSE(fs::exists(at("out")));
  EXPECT_EQ(checkpoint({"--help"}).exit_code, 0);
}

}  // namespace
}  // namespace zero::test
