// heed devices: what heed sees and will use.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "codegen/cpu/target.h"
#include "tools/command.h"

namespace heed {

Command devices_command() {
  return {"devices", "shows what heed sees and will use", "heed devices --json", [](CLI::App& app) -> std::function<int()> {
            auto json = std::make_shared<bool>(false);
            app.add_flag("--json", *json, "one JSON object a device");
            return [json] {
              Target target = host_target();
              unsigned threads = std::max(1U, std::thread::hardware_concurrency());
              if (*json) {
                nlohmann::ordered_json cpu = {{"device", "cpu"},
                                              {"cpu", target.cpu},
                                              {"threads", threads},
                                              {"vector_bytes", target.vector_bytes},
                                              {"level1_bytes", target.level1_bytes},
                                              {"level2_bytes", target.level2_bytes},
                                              {"level3_bytes", target.level3_bytes}};
                fmt::print("{}\n", cpu.dump());
                return success;
              }
              fmt::print("cpu   {}, {} threads, vectors of {} bits, caches {} KiB / {} KiB / {} KiB\n", target.cpu, threads,
                         target.vector_bytes * 8, target.level1_bytes >> 10, target.level2_bytes >> 10, target.level3_bytes >> 10);
              return success;
            };
          }};
}

}  // namespace heed
