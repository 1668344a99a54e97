import { type Entry, toShown, UNREADABLE } from '../relay/parking/parked-entry.ts'
import type { Page, TakenOut } from '../relay/parking/parked-list.ts'

/* The texts that `--help` appends: environment variables, exit codes and examples of each command. */

export const PROGRAM_HELP = `
Examples:
  enigma-relay dev                          run the whole system on this machine, with a simulated call centre
  enigma-relay queues --create              create the SQS queues
  enigma-relay doctor                       check Redis, SQS and this host without changing anything
  enigma-relay relay                        forward a dialler's notifications, configured by the environment
  enigma-relay parked                       list parked notifications; retry, export or drop them
  enigma-relay relay --help                 list the environment variables

Exit codes: 0 done, 1 failed, 2 wrong arguments or variables.`

const AWS_VARIABLES = `  AWS_REGION             region of the queues
  AWS_ENDPOINT_URL_SQS   endpoint of another SQS server, such as http://127.0.0.1:4566 (default: AWS)
  AWS_ACCESS_KEY_ID …    credentials; the standard AWS provider chain works too (profile, role)
  HTTPS_PROXY, NO_PROXY  HTTP proxy for AWS, HTTP targets and the API, and hosts that are reached without it`

export const COMMAND_HELP = {
  relay: `
Environment:
  ENIGMA_SOURCES         Redis servers of the dialler, separated by commas (default: main=redis://127.0.0.1:8001); rediss:// for TLS,
                         with ?caFile=…&userFile=…&passwordFile=… for certificates and secrets
  ENIGMA_LISTS           lists to consume (default: none), usually enigma:notifications:campaigns;
                         each item goes to one consumer only, so an existing consumer would miss items
  ENIGMA_LIST_END        end of the lists that has the oldest item: right (default) or left
  ENIGMA_CHANNELS        Pub/Sub patterns, separated by commas (default: enigma:notifications*)
  ENIGMA_RESYNC          key prefix, before :campaigns, of the states that are read after a gap (default: enigma); none: do not read them
  ENIGMA_TARGET          sqs (default), or the https:// address of a server that runs the functions; for one route: ENIGMA_TARGET_AGENTS_CALL
  ENIGMA_TARGET_SECRET, ENIGMA_TARGET_TOKEN
                         secret that signs requests to that server (whsec_…), and bearer token; …_FILE names a file that contains it
  ENIGMA_TARGET_TIMEOUT  seconds for which that server may work on a request (default: as long as the function may run, 30; calls 10)
  ENIGMA_TARGET_CERT, ENIGMA_TARGET_KEY, ENIGMA_TARGET_CA
                         PEM files: client certificate, its private key, and the certificate authorities to trust
  ENIGMA_API_URL, ENIGMA_API_TOKEN
                         only without SQS: the API whose replays this relay drives, and a token with the role operate
  ENIGMA_QUEUE_PREFIX    prefix of the queue names (default: enigma-)
  ENIGMA_ROUTES          route table of the deployed stack, the dist/routes.json of its build (default: the one of this version)
  ENIGMA_DATA_DIR        folder of the journal (default: .enigma/relay)
  ENIGMA_RELAY_ID        unique id of this relay; keep it across restarts (default: the host name)
  ENIGMA_LINGER          none: send each notification at once, with four times the requests at 1,000 agents (default: as its route says)
  ENIGMA_COMMANDS        none: take no operator commands, which retry or delete parked notifications through the API
  ENIGMA_PARKED_MAX      maximum number of entries in a source's parked list (default: 10000); further entries go to a file in ENIGMA_DATA_DIR
  ENIGMA_HTTP            address of /livez, /readyz and /metrics (default: 127.0.0.1:8081)
  ENIGMA_LOG_LEVEL       trace, debug, info (default), warn, error, fatal or silent
${AWS_VARIABLES}

Example:
  ENIGMA_SOURCES=main=redis://dialler:8001 ENIGMA_LISTS=enigma:notifications:campaigns AWS_REGION=eu-west-1 enigma-relay relay`,
  doctor: `
Prints one line for each check: its state (ok, warn or fail), the finding, and the fix after →. Works whether the relay is running or not.
Uses the relay's environment: enigma-relay relay --help. Redis commands are printed without credentials: add those of an administrator (--user, REDISCLI_AUTH).

Exit codes: 0 no check failed, 1 a check failed, 2 wrong variables.

Examples:
  enigma-relay doctor
  enigma-relay doctor --json | jq '.checks[] | select(.state != "ok")'`,
  queues: `
Every queue is a high-throughput FIFO queue. Existing queues are not changed.

Environment:
  ENIGMA_QUEUE_PREFIX    prefix of the queue names (default: enigma-)
  ENIGMA_ROUTES          route table of the stack, the dist/routes.json of its build (default: the one of this version)
${AWS_VARIABLES}

Example:
  AWS_REGION=eu-west-1 enigma-relay queues --create`,
  parked: `
The table shows no personal data; --show and --export do. Works whether the relay is running or not. An id is looked up in every source.
A retried notification keeps its id and leaves the list when its target has accepted it. If the target rejects it again, it stays on the list and the exit code is 1.

Environment:
  ENIGMA_SOURCES         the dialler's Redis (default: main=redis://127.0.0.1:8001)
  ENIGMA_QUEUE_PREFIX    prefix of the queue names (default: enigma-)
  ENIGMA_DATA_DIR        the relay's folder, which also holds parked entries when the list in Redis is full (default: .enigma/relay)
${AWS_VARIABLES}
  The relay's other variables are checked too: enigma-relay relay --help

Examples:
  enigma-relay parked --since 2h
  enigma-relay parked --show main/l/1764000000000/17 > packet.json
  enigma-relay parked --retry --all --reason refused
  enigma-relay parked --export parked.jsonl
  enigma-relay parked --drop main/l/1764000000000/17 --yes`,
  simulate: `
Simulates campaigns, agents, calls, CDRs and statistics in realistic proportions, with an occasional malformed packet.

Example:
  enigma-relay simulate --agents 200 --speed 5 --url redis://127.0.0.1:8001
  enigma-relay simulate --backup backup     # keep CDRs on disk during a Redis outage`,
  dev: `
Starts the dialler's Redis, the relay, a local SQS, the functions, the read model and its API, and shows the throughput.
Prints the address of the operators' console first. The address contains a code that logs you in once.
Keeps its state between runs. Works only in a clone of the repository.

Environment:
  ENIGMA_SOURCES         read these Redis servers instead of starting one; then dev consumes only the lists in ENIGMA_LISTS
  REDIS_URL              use this Redis server as the dialler's; its next database holds the read model if dev cannot start a redis-server
  ENIGMA_LISTS           lists to consume (default, unless ENIGMA_SOURCES is set: campaigns and the two of Click2Dial)
  ENIGMA_API             address of the read API (default: 127.0.0.1:8080)
  API_TOKEN              bearer token of the API, for which the console then asks (default: dev creates one with the role operate, and prints it)
  ENIGMA_PARKED_MAX      maximum number of entries in a source's parked list (default: 10000); further entries go to a file in ENIGMA_DATA_DIR
  API_TOKENS             further tokens, one line name:role:token for each (roles: read, masked, operate)
  ENIGMA_HTTP            address of the relay's /livez, /readyz and /metrics (default: 127.0.0.1:8081)
  ENIGMA_DATA_DIR        folder of all state (default: .enigma in the clone)
  The relay's other variables apply too: enigma-relay relay --help

Examples:
  npm run dev
  npm run dev -- --agents 200 --speed 5
  npm run dev -- --no-simulator --verbose
  npm run dev -- --edge                              without SQS and Lambda: the functions run on workerd, behind HTTP
  npm run dev -- --demo                              a fifth of the CDRs fails for a minute: replay them in the console
  npm run dev -- --fail agents-call=503:10% --fail campaigns-cdr=422:5%:60`,
} as const

/** Writes to standard output. Resolves when the text is written, so that a slow reader does not fill the memory. */
export function print(text: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

/** Returns the widths of columns, widened where these rows need it. */
export const widen = (widths: readonly number[], rows: readonly (readonly string[])[]): number[] =>
  widths.map((width, column) => rows.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), width))

/** Formats each row as a line, with its cells in columns. */
export function formatRows(rows: readonly (readonly string[])[], widths: readonly number[]): string {
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

const HEADER = ['PARKED AT', 'SOURCE', 'ID', 'ROUTE', 'REASON', 'BYTES', 'DETAIL']

const toRow = (entry: Entry, source: string) =>
  entry.kind === 'parked'
    ? toShown(entry, source)
    : { source, id: entry.id, reason: UNREADABLE, detail: entry.why, bytes: entry.raw.length }

/** Creates a listing of parked entries: a table, or one JSON object per line. Personal data is masked. */
export function createListing(json: boolean) {
  const counts = new Map<string, number>()
  const inFiles = new Map<string, number>()
  let widths = HEADER.map((cell) => cell.length)

  const addRows = (rows: readonly (readonly string[])[]) => {
    // Columns only grow, because earlier rows are already printed.
    widths = widen(widths, rows)
    return print(formatRows(rows, widths))
  }

  return {
    /** Prints entries. @param file the file that holds them, if they are not on the list in Redis */
    async add(entries: readonly Entry[], source: string, file?: string): Promise<void> {
      if (entries.length === 0) return
      if (file !== undefined) inFiles.set(file, (inFiles.get(file) ?? 0) + entries.length)
      const all = entries.map((entry) => ({ ...toRow(entry, source), ...(file === undefined ? {} : { file }) }))
      if (json) return print(all.map((one) => `${JSON.stringify(one)}\n`).join(''))
      const rows = all.map((one) => {
        const [parkedat, route] = 'route' in one ? [one.parkedat, one.route] : ['?', '?']
        return [parkedat, one.source, one.id, route, one.reason, String(one.bytes), one.detail]
      })
      await addRows(counts.size === 0 ? [HEADER, ...rows] : rows)
      for (const { reason } of all) counts.set(reason, (counts.get(reason) ?? 0) + 1)
    },
    /** Prints the number of entries by reason. */
    async end(emptyWords: string): Promise<void> {
      if (json) return
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
      const parts = [...counts].map(([reason, count]) => `${count} ${reason}`)
      await print(
        total === 0 ? `${emptyWords}\n` : `${total} ${total === 1 ? 'entry' : 'entries'}: ${parts.join(', ')}\n`,
      )
      for (const [file, count] of inFiles)
        await print(`${count} of them in ${file}, because the list in Redis was full\n`)
    },
  }
}

/** Formats the result of retrying or dropping an entry as a line. */
export function formatTakenOut(taken: TakenOut, source: string, json: boolean): string {
  if (json) return `${JSON.stringify({ source, ...taken })}\n`
  const { id, state } = taken
  if (state === 'sent') return `${id}  sent to ${taken.queue}\n`
  return state === 'stays' ? `${id}  stays: ${taken.why}\n` : `${id}  ${state === 'gone' ? 'already gone' : state}\n`
}

/** The time between two lines of progress, ms. */
const PROGRESS_MS = 2_000

let lastPrintedMs = performance.now()

/** Prints the progress to standard error if the command takes longer than two seconds. */
export function printProgress({ seen, of }: Page, source: string): void {
  if (performance.now() - lastPrintedMs < PROGRESS_MS) return
  lastPrintedMs = performance.now()
  process.stderr.write(`${source}: read ${seen} of ${of} entries\n`)
}

/** Reports that a command failed. The message tells the user what to do; docs/logs.md explains each code. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: 'cli.simulate.not_taken' | 'cli.dev.no_clone' | 'cli.doctor.failed' | 'cli.queues.not_created'

  constructor(code: CliError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
