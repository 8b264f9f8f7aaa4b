-- Sends whole requests, read from files, one after the other; tells what came of them in one line of JSON.
local requests, last = {}, 0

function init(args)
   for place = 1, tonumber(args[2]) do
      local file = assert(io.open(args[1] .. "/" .. place, "rb"))
      requests[place] = file:read("*a")
      file:close()
   end
end

function request()
   last = last % #requests + 1
   return requests[last]
end

function done(summary, latency, waits)
   local faults = summary.errors
   io.write(string.format(
      '\nSUMMARY {"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "p999_us": %.1f, '
         .. '"refused": %d, "broken": %d}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
      faults.status, faults.connect + faults.read + faults.write + faults.timeout))
end
