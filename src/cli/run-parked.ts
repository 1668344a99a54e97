import { existsSync } from 'node:fs'
import { toBytes, type Routes } from '../protocol/index.ts'
import { RelayError } from '../relay/relay-error.ts'
import { readConfig, type RelayConfig, type SourceConfig } from '../relay/index.ts'
import { fileExists, visitParkedLists, writeExport } from '../relay/parking/overflow.ts'
import { createDelivery } from '../relay/parking/run-command.ts'
import { formatExportLine, type Entry } from '../relay/parking/parked-entry.ts'
import { takeOut, withSource, type Filter, type Page, type ParkedList } from '../relay/parking/parked-list.ts'
import type { Redis } from '../relay/redis/redis-client.ts'
import { openTargets } from '../relay/targets/target.ts'
import { createLog, createShutdown } from '../runtime/index.ts'
import { createListing, formatTakenOut, print, printProgress } from './cli-output.ts'
import { readRelayConfig } from './run-relay.ts'

/** The options of `enigma-relay parked` as commander reads them. */
export type ParkedArguments = {
  readonly source?: string
  readonly reason?: string
  /** Unix time, ms. */
  readonly since?: number
  readonly json: boolean
  readonly show?: string
  readonly retry?: true | readonly string[]
  readonly drop?: true | readonly string[]
  readonly export?: string
  readonly all: boolean
  readonly yes: boolean
}

/** Ends the process with exit code 2 and this message. */
type Refuse = (words: string) => never

/** Runs `enigma-relay parked`: lists, shows, retries, exports or drops parked notifications. @throws ConfigError, RelayError */
export async function runParked(options: ParkedArguments, refuse: Refuse): Promise<void> {
  const action = readAction(options, refuse)
  const isDryRun = action.name === 'drop' && !options.yes
  const sends = action.name === 'retry' || (action.name === 'drop' && options.yes)
  // An action that sends nothing needs no region and no route table.
  const sending = sends ? await readRelayConfig(process.env) : undefined
  const region = process.env['AWS_REGION']?.trim() || 'none'
  const config = sending?.config ?? readConfig({ ...process.env, AWS_REGION: region })
  const sources = config.sources.filter(({ id }) => options.source === undefined || id === options.source)
  if (sources.length === 0)
    refuse(`ENIGMA_SOURCES has no source "${options.source}", only ${config.sources.map(({ id }) => id).join(', ')}`)
  // A reader such as `head` closes the pipe when it has enough.
  process.stdout.on('error', () => process.exit(1))
  const shutdown = createShutdown(process)
  const scope: ParkedScope = {
    sources,
    filter: { ids: action.ids && new Set(action.ids), reason: options.reason, sinceMs: options.since },
    unseen: new Set(action.ids),
    json: options.json,
    dataDir: config.dataDir,
    signal: shutdown.signal,
  }
  try {
    if (action.name === 'list' || isDryRun) await listParked(scope)
    else if (action.name === 'show') await showParked(scope)
    else if (action.name === 'export') await exportParked(scope, action.file)
    else if (sending !== undefined) await printTakenOut(scope, sending, action.name)
  } finally {
    shutdown.dispose()
  }
  if (scope.unseen.size > 0)
    throw new RelayError(
      'relay.parked.not_found',
      `no parked notification has these ids: ${[...scope.unseen].join(', ')}`,
    )
  if (isDryRun) refuse('nothing was deleted: add --yes to delete these entries permanently')
}

/** The action that the options ask for. Every id in `ids` must exist. */
type ParkedAction =
  | { readonly name: 'list'; readonly ids?: undefined }
  | { readonly name: 'show'; readonly ids: readonly string[] }
  | { readonly name: 'export'; readonly ids?: undefined; readonly file: string }
  | { readonly name: 'retry' | 'drop'; readonly ids?: readonly string[] | undefined }

/** Reads the action from the options, and refuses combinations that contradict each other. */
function readAction({ show, retry, drop, export: file, all, yes }: ParkedArguments, refuse: Refuse): ParkedAction {
  const named = Object.entries({ show, retry, drop, export: file }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`],
  )
  if (named.length > 1) refuse(`${named.join(' and ')} cannot be combined`)
  if (yes && drop === undefined) refuse('--yes is only for --drop')
  const taken = retry ?? drop
  if (taken === undefined) {
    if (all) refuse('--all is only for --retry or --drop')
    if (show !== undefined) return { name: 'show', ids: [show] }
    return file === undefined ? { name: 'list' } : { name: 'export', file }
  }
  const name = retry === undefined ? 'drop' : 'retry'
  if (taken === true && !all) refuse(`--${name} needs ids, or --all for every entry that matches the filters`)
  if (taken !== true && all) refuse(`--${name} accepts ids or --all, not both`)
  return { name, ids: taken === true ? undefined : taken }
}

/** The sources and entries that a run of `enigma-relay parked` covers. */
type ParkedScope = {
  readonly sources: readonly SourceConfig[]
  readonly filter: Filter
  /** The requested ids that were not found yet. */
  readonly unseen: Set<string>
  readonly json: boolean
  /** The folder in which this machine's relay keeps entries that the parked list has no room for. */
  readonly dataDir: string
  readonly signal: AbortSignal
}

/** Returns the message for an empty result. */
const emptyWords = ({ filter }: ParkedScope): string =>
  Object.values(filter).every((part) => part === undefined)
    ? 'the relay has parked no notification; the console lists those that functions parked'
    : 'no parked notification matches'

/** Calls `body` for each source in turn, over a connection of its own: with its list in Redis, then with its files. @throws RelayError */
async function overSources(
  { sources, signal, dataDir }: ParkedScope,
  body: (list: ParkedList, sourceId: string, client: Redis) => Promise<void>,
): Promise<void> {
  // Errors are thrown, and main.ts prints them once.
  const log = createLog('silent')
  for (const source of sources) {
    if (signal.aborted) return
    await withSource(source, log, async (client) => {
      const of = { client, sourceId: source.id, dataDir, signal }
      const elsewhere = await visitParkedLists(of, (list) => body(list, source.id, client))
      for (const { relayId, place } of elsewhere)
        process.stderr.write(
          `enigma-relay: the relay ${relayId} has more parked notifications of ${source.id} in ${place}: run this command on its host, with its ENIGMA_DATA_DIR\n`,
        )
    })
  }
}

/** Calls `body` with the entries of all sources, a page at a time. @throws RelayError */
async function overPages(
  scope: ParkedScope,
  body: (entries: readonly Entry[], sourceId: string, file: string | undefined) => Promise<void>,
): Promise<void> {
  await overSources(scope, async (list, sourceId) => {
    for await (const page of list.pages(scope.filter)) {
      for (const { id } of page.entries) scope.unseen.delete(id)
      await body(page.entries, sourceId, list.file)
      printProgress(page, sourceId)
      if (scope.signal.aborted) break
    }
  })
  if (scope.signal.aborted) throw new RelayError('relay.parked.stopped', 'stopped before the end of the list')
}

/** Prints a table, or one JSON object per line, the newest entry last. */
async function listParked(scope: ParkedScope): Promise<void> {
  const listing = createListing(scope.json)
  await overPages(scope, (entries, sourceId, file) => listing.add(entries, sourceId, file))
  if (scope.unseen.size === 0) await listing.end(emptyWords(scope))
}

/** Prints the exact bytes of the packet, and nothing else. */
async function showParked(scope: ParkedScope): Promise<void> {
  let first: Buffer | undefined
  let copies = 0
  let differ = false
  await overPages(scope, async (entries) => {
    for (const entry of entries) {
      const bytes = Buffer.from(entry.kind === 'unreadable' ? entry.raw : toBytes(entry.notification.data))
      copies++
      first ??= bytes
      differ ||= !first.equals(bytes)
    }
  })
  if (first !== undefined) await print(first)
  if (differ)
    process.stderr.write(
      `enigma-relay: ${copies} different entries have this id; this is the oldest, --export writes all of them\n`,
    )
}

/** Writes the entries with their packets to a new file. @throws RelayError if the file exists or cannot be written */
async function exportParked(scope: ParkedScope, file: string): Promise<void> {
  // Checked before a long list is read, and again when the file is moved into place.
  if (existsSync(file)) throw fileExists(file)
  let count = 0
  await writeExport(file, (line) =>
    overPages(scope, async (entries, sourceId) => {
      for (const entry of entries) await line(formatExportLine(entry, sourceId))
      count += entries.length
    }),
  )
  await print(`wrote ${count} ${count === 1 ? 'entry' : 'entries'} to ${file}, personal data included\n`)
}

/** The longest wait (ms) for the answer of a target, not counting the functions that it runs. */
const MAX_REQUEST_MS = 10_000

/** Retries or drops entries, and prints a line for each. @throws RelayError */
async function printTakenOut(
  scope: ParkedScope,
  { config, routes }: { readonly config: RelayConfig; readonly routes: Routes },
  action: 'retry' | 'drop',
): Promise<void> {
  const { filter, unseen, json, signal } = scope
  const targets = openTargets(config, routes, { requestTimeoutMs: MAX_REQUEST_MS })
  const more = {
    filter,
    routes,
    delivery: createDelivery({ targets, signal }),
    notices: createDelivery({ targets }),
    signal,
  }
  let done = 0
  let stay = 0
  try {
    await overSources(scope, async (list, sourceId, client) => {
      const onPage = (page: Page) => printProgress(page, sourceId)
      for await (const taken of takeOut(action, { ...more, list, sourceId, client, onPage })) {
        unseen.delete(taken.id)
        if (taken.state === 'stays') stay++
        else done++
        await print(formatTakenOut(taken, sourceId, json))
      }
    })
  } finally {
    targets.destroy()
  }
  if (signal.aborted)
    throw new RelayError('relay.parked.stopped', `stopped: ${done} done, the other entries stay on the list`)
  if (stay > 0)
    throw new RelayError(
      'relay.parked.incomplete',
      `${stay} of ${done + stay} ${stay === 1 ? 'stays' : 'stay'} on the list; the lines above have the reasons`,
    )
  if (done === 0 && unseen.size === 0 && !json) await print(`${emptyWords(scope)}\n`)
}
