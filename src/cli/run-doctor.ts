import { styleText } from 'node:util'
import type { Finding } from '../relay/doctor/check.ts'
import { examine } from '../relay/doctor/doctor.ts'
import { CliError } from './cli-output.ts'
import { readRelayConfig } from './run-relay.ts'

const COLOURS = { ok: 'green', warn: 'yellow', fail: 'red' } as const

/** What is said for each route, and in one line when all is well. */
const FOR_EACH_ROUTE = [
  {
    prefix: 'sqs/queue/',
    check: 'sqs/queues',
    say: (count: number) => `${count} queues and their dead-letter queues have the right attributes`,
  },
  { prefix: 'sqs/send/', check: 'sqs/rights', say: (count: number) => `the relay may send to ${count} queues` },
] as const

/** `enigma-relay doctor [--json]`. @throws ConfigError, or CliError when something fails */
export async function runDoctor({ json }: { readonly json: boolean }): Promise<void> {
  const findings: Finding[] = []
  const wells = new Map<string, number>()
  for await (const finding of examine(await readRelayConfig(process.env))) {
    findings.push(finding)
    const each =
      finding.state === 'ok' ? FOR_EACH_ROUTE.find(({ prefix }) => finding.check.startsWith(prefix)) : undefined
    if (json) continue
    if (each === undefined) print(finding)
    else wells.set(each.prefix, (wells.get(each.prefix) ?? 0) + 1)
  }
  for (const { prefix, check, say } of FOR_EACH_ROUTE) {
    const count = wells.get(prefix)
    if (count !== undefined && !json) print({ check, state: 'ok', text: say(count) })
  }
  const count = (state: Finding['state']) => findings.filter((one) => one.state === state).length
  const summary = { ok: count('ok'), warn: count('warn'), fail: count('fail') }
  if (json) process.stdout.write(`${JSON.stringify({ checks: findings, summary }, null, 2)}\n`)
  else process.stdout.write(`${summary.ok} ok, ${summary.warn} warn, ${summary.fail} fail\n`)
  if (summary.fail > 0)
    throw new CliError('cli.doctor.failed', `${summary.fail} ${summary.fail === 1 ? 'check failed' : 'checks failed'}`)
}

/**
 * `fail  redis/main/memory  …  → redis-cli …  # doctor.memory.evicts`: what follows the arrow can be pasted, for the code is a comment to
 * a shell. In colours on a terminal, unless NO_COLOR is set.
 */
function print({ check, state, code, text, fix }: Finding): void {
  const word = styleText(COLOURS[state], state.padEnd(4), { stream: process.stdout })
  const arrow = styleText('bold', '→', { stream: process.stdout })
  const parts = [word, check, text, fix && `${arrow} ${fix}`, code && `# ${code}`]
  process.stdout.write(`${parts.filter((part) => part !== undefined).join('  ')}\n`)
}
