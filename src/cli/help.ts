/** The texts behind `--help`: what a stranger needs to run each command. */

export const PROGRAM_HELP = `
Examples:
  enigma-relay dev                          everything on this machine, with a played call centre
  enigma-relay queues --create              make the SQS queues
  enigma-relay doctor                       check Redis, SQS and this machine before the relay runs, or when it does not
  enigma-relay relay                        forward a dialler's notifications, configured by the environment
  enigma-relay parked                       what the relay put aside, and how to send it again
  enigma-relay relay --help                 the environment variables

Exit codes: 0 done, 1 failed, 2 wrong arguments or variables.`

const AWS_VARIABLES = `  AWS_REGION             region of the queues
  AWS_ENDPOINT_URL_SQS   another SQS than AWS, such as http://127.0.0.1:4566 (default: AWS)
  AWS_ACCESS_KEY_ID …    credentials, by AWS' standard chain: variables, profile, role
  HTTPS_PROXY, NO_PROXY  an HTTP proxy on the way to AWS, and hosts that are reached without it`

const RELAY_HELP = `
Environment:
  ENIGMA_SOURCES         the dialler's Redis (default: main=redis://127.0.0.1:8001); several by commas, rediss:// for TLS,
                         with ?caFile=…&userFile=…&passwordFile=… where there are secrets
  ENIGMA_LISTS           lists to take from (default: none), as a rule enigma:notifications:campaigns;
                         taking from a list takes it from whoever reads it today
  ENIGMA_LIST_END        the end with the oldest item: right (default) or left
  ENIGMA_CHANNELS        PubSub patterns, by commas (default: enigma:notifications*)
  ENIGMA_QUEUE_PREFIX    what queue names begin with (default: enigma-)
  ENIGMA_DATA_DIR        folder of the journal (default: .enigma/relay)
  ENIGMA_RELAY_ID        this relay's name, the same after a restart (default: the host's name)
  ENIGMA_PARKED_MAX      entries that a source's parked list may have; further ones go to a file in ENIGMA_DATA_DIR (default: 10000)
  ENIGMA_HTTP            address of /livez, /readyz and /metrics (default: 127.0.0.1:8081)
  ENIGMA_LOG_LEVEL       trace, debug, info (default), warn, error, fatal or silent
${AWS_VARIABLES}

Example:
  ENIGMA_SOURCES=main=redis://dialler:8001 ENIGMA_LISTS=enigma:notifications:campaigns AWS_REGION=eu-west-1 enigma-relay relay`

const DOCTOR_HELP = `
A line for each check: ok, warn or fail, what was found, and behind → what mends it. Works whether the relay runs or not. The
environment is the relay's: enigma-relay relay --help. Commands for Redis are shown without user and password: add an administrator's (--user, REDISCLI_AUTH).

Exit codes: 0 nothing fails, 1 something does, 2 wrong variables.

Examples:
  enigma-relay doctor
  enigma-relay doctor --json | jq '.checks[] | select(.state != "ok")'`

const QUEUES_HELP = `
Each is FIFO with high throughput; a queue that is there already is left as it is.

Environment:
  ENIGMA_QUEUE_PREFIX    what queue names begin with (default: enigma-)
${AWS_VARIABLES}

Example:
  AWS_REGION=eu-west-1 enigma-relay queues --create`

const PARKED_HELP = `
The table shows no personal data; --show and --export do. Works whether the relay runs or not. Ids are tried on every source.
What is sent again keeps its id and leaves the list when SQS has accepted it; what is refused again stays, and the exit code is 1.

Environment:
  ENIGMA_SOURCES         the dialler's Redis (default: main=redis://127.0.0.1:8001)
  ENIGMA_QUEUE_PREFIX    what queue names begin with (default: enigma-)
  ENIGMA_DATA_DIR        the relay's folder: parked entries are there too when the list in Redis is full (default: .enigma/relay)
${AWS_VARIABLES}
  The relay's other variables are checked as well: enigma-relay relay --help

Examples:
  enigma-relay parked --since 2h
  enigma-relay parked --show main/l/1764000000000/17 > packet.json
  enigma-relay parked --retry --all --reason refused
  enigma-relay parked --export parked.jsonl
  enigma-relay parked --drop main/l/1764000000000/17 --yes`

const SIMULATE_HELP = `
Plays campaigns, agents, calls, CDRs and statistics in believable proportions, now and then a malformed packet.

Example:
  enigma-relay simulate --agents 200 --speed 5 --url redis://127.0.0.1:8001
  enigma-relay simulate --backup backup     # CDRs are kept through an outage of Redis`

const DEV_HELP = `
Starts the dialler's Redis, the relay, a local SQS, the functions, the read model and its API, and shows what goes through.
State is kept between runs. Works in a clone of the repository only.

Environment:
  ENIGMA_SOURCES         read these Redis servers instead of starting one; then only lists in ENIGMA_LISTS are taken
  REDIS_URL              use this Redis server instead of starting any
  ENIGMA_LISTS           lists to take from (default, on a Redis of dev's own: campaigns and the two of Click2Dial)
  ENIGMA_API             address of the read API (default: 127.0.0.1:8080)
  API_TOKEN              its bearer token (default: one is made and printed)
  ENIGMA_PARKED_MAX      entries that a source's parked list may have; further ones go to a file in ENIGMA_DATA_DIR (default: 10000)
  API_TOKENS             more of them: a line name:role:token for each (roles: read, masked, operate)
  ENIGMA_HTTP            address of the relay's /livez, /readyz and /metrics (default: 127.0.0.1:8081)
  ENIGMA_DATA_DIR        folder of all state (default: .enigma in the clone)
  The relay's other variables count as well: enigma-relay relay --help

Examples:
  npm run dev
  npm run dev -- --agents 200 --speed 5
  npm run dev -- --no-simulator --verbose`

export const COMMAND_HELP = {
  relay: RELAY_HELP,
  doctor: DOCTOR_HELP,
  queues: QUEUES_HELP,
  parked: PARKED_HELP,
  simulate: SIMULATE_HELP,
  dev: DEV_HELP,
} as const
