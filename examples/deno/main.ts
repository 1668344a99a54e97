import { consoleFrom, createEdge } from 'enigma-relay/edge'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import { functions } from '../../functions/all.ts'

/** Where the console's files are: `npm run build` makes them. Without them there is no console. */
const FILES = pathToFileURL(`${process.env['CONSOLE_FOLDER'] ?? 'dist/console'}/`)

declare const Deno: {
  readonly serve: (handler: (request: Request) => Promise<Response>) => unknown
  readonly cron?: (name: string, schedule: string, run: () => Promise<void>) => Promise<void>
}

/** For Deno and Deno Deploy: functions, API and console. docs/deno.md says how to run and to deploy it. */
const edge = createEdge({
  functions,
  env: process.env,
  console: () =>
    consoleFrom(async (name) => {
      try {
        return new Uint8Array(await readFile(new URL(name, FILES)))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
    }),
})

Deno.serve((request) => edge.fetch(request))

// Looks for calls without a CDR. Deno itself has schedules with --unstable-cron only.
void Deno.cron?.('missing CDRs', '*/5 * * * *', () => edge.scheduled())
