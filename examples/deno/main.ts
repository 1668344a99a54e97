import { consoleFrom, createEdge } from 'enigma-relay/edge'
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import { functions } from '../../functions/all.ts'

/** The folder with the console's files, which `npm run build` creates. Without them, there is no console. */
const FILES = pathToFileURL(`${process.env['CONSOLE_FOLDER'] ?? 'dist/console'}/`)

declare const Deno: {
  readonly serve: (handler: (request: Request) => Promise<Response>) => unknown
  readonly cron?: (name: string, schedule: string, run: () => Promise<void>) => Promise<void>
}

/** Serves functions, API and console on Deno and Deno Deploy. docs/deno.md explains how to run and deploy it. */
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

// Lists calls without a CDR. Outside Deno Deploy, Deno supports schedules only with --unstable-cron.
void Deno.cron?.('missing CDRs', '*/5 * * * *', () => edge.scheduled())
