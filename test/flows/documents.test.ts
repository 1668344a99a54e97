import { execFile, execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { CDR_TABLE } from '../../examples/cdr-postgres.ts'
import { ROOT, start } from '../cli/run.ts'
import { startPostgres } from '../support/postgres.ts'
import { waitFor } from '../support/relay.ts'

/* docs/functions.md and docs/examples.md, followed to the letter in a clone: every command of theirs is run as it is written. */

const run = promisify(execFile)
const TOKEN = 'the-token-of-this-test-of-32-characters'

/** Copies the tracked and new files into a folder of this clone: tsc does not find packages that are linked from elsewhere. */
async function useClone(): Promise<string> {
  await mkdir(join(ROOT, '.enigma'), { recursive: true })
  const folder = await mkdtemp(join(ROOT, '.enigma', 'clone-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: ROOT })
  for (const file of files.toString().split('\n').filter(Boolean)) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    // The copy fails for a file that is deleted but still in the index.
    await cp(join(ROOT, file), join(folder, file)).catch(() => undefined)
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Returns the commands of the n-th shell block after a heading, or after the beginning. */
async function readCommands(document: string, heading: string, n: number): Promise<string[]> {
  const text = await readFile(join(ROOT, document), 'utf8')
  const blocks = [...text.slice(text.indexOf(heading)).matchAll(/^```sh\n(.*?)^```/gms)]
  const commands = blocks[n]?.[1]?.trim().split('\n') ?? []
  if (commands.length === 0) throw new Error(`${document} has no block ${n} behind ${heading}`)
  return commands
}

/** Starts an HTTP server that stands for a CRM and records the bodies of its requests. */
async function useCrm() {
  const pops: unknown[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      pops.push(JSON.parse(body))
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/pops`, pops }
}

/** Puts the database in a VPC, as the comment in the example describes. */
async function declareVpc(file: string): Promise<void> {
  const source = await readFile(file, 'utf8')
  const declared = source.replace(
    /\/\/ For a database in a VPC: vpc: \{.*\}$/m,
    "vpc: { subnetIds: ['subnet-0a'], securityGroupIds: ['sg-0b'] },",
  )
  await writeFile(file, declared)
}

test('the commands of the documents alone add a sub_type, a CRM and a Postgres: PUBLISH reaches the API, the pop and the row', async () => {
  const clone = await useClone()
  const [crm, postgres] = [await useCrm(), await startPostgres()]
  onTestFinished(() => postgres.close())
  await postgres.db.exec(CDR_TABLE)
  const PATH = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
  const inClone = (command: string, env: Record<string, string> = {}) =>
    run('sh', ['-c', command], { cwd: clone, env: { ...process.env, PATH, ...env }, maxBuffer: 2 ** 26 })

  const all = [
    ...(await readCommands('docs/functions.md', '## Add a kind', 0)),
    ...(await readCommands('docs/examples.md', '# ', 0)),
  ]
  const DEV = 'npm run dev'
  expect(all.filter((command) => command === DEV)).toHaveLength(2)
  for (const command of all.filter((one) => one !== DEV)) {
    if (command === 'npm run package') await declareVpc(join(clone, 'functions/campaigns/cdr.ts'))
    await inClone(command)
  }
  const template = await readFile(join(clone, '.serverless/cloudformation-template-update-stack.json'), 'utf8')
  for (const part of ['AgentsBreakQueue', 'AgentsBreakDeadLetterQueue', 'AgentsBreakLambdaFunction', 'crm-token'])
    expect(template).toContain(part)
  const { Resources } = JSON.parse(template) as { Resources: Record<string, { Properties: { VpcConfig?: object } }> }
  expect(Resources['CampaignsCdrLambdaFunction']?.Properties.VpcConfig).toEqual({
    SubnetIds: ['subnet-0a'],
    SecurityGroupIds: ['sg-0b'],
  })
  expect(Resources['AgentsStatusLambdaFunction']?.Properties.VpcConfig).toBeUndefined()
  const rightsOf = (role: string) => JSON.stringify(Resources[role])
  expect(rightsOf('CampaignsCdrRole')).toContain('ec2:CreateNetworkInterface')
  expect(rightsOf('AgentsStatusRole')).not.toContain('ec2:')
  expect(await readFile(join(clone, 'dist/routes.json'), 'utf8')).toContain('"agents-break"')

  const dev = start('npm', ['run', 'dev', '--', '--no-simulator'], {
    cwd: clone,
    env: {
      PATH,
      ENIGMA_API: '127.0.0.1:0',
      ENIGMA_HTTP: '127.0.0.1:0',
      API_TOKEN: TOKEN,
      CRM_URL: crm.url,
      CRM_TOKEN: 'a token of the CRM',
      CDR_DATABASE_URL: postgres.url,
    },
  })
  onTestFinished(async () => {
    dev.child.kill('SIGINT')
    await dev.ended
  })
  const addressOf = async (part: string): Promise<string> => {
    const line = new RegExp(`^${part} +(\\S+)`, 'm')
    await dev.says(line)
    return line.exec(dev.output().stdout)?.[1] ?? ''
  }
  const [dialler, API] = [await addressOf("dialler's Redis"), await addressOf('read API')]
  await addressOf('relay')
  const [publish = '', read = ''] = await readCommands('docs/functions.md', '## Add a kind', 1)
  const ask = (command: string) =>
    inClone(
      command
        .replace('-p 8001', `-p ${new URL(dialler).port}`)
        .replace('http://127.0.0.1:8080', API)
        .replace('curl', 'curl -sf'),
      { API_TOKEN: TOKEN },
    )
  for (const command of [publish, ...(await readCommands('docs/examples.md', '# ', 1))]) await ask(command)

  const answer = async () => JSON.parse((await ask(read).catch(() => ({ stdout: '{}' }))).stdout) as object
  await waitFor(async () => 'latest' in (await answer()), 'the break at the API')
  expect(await answer()).toMatchObject({ ref: '1002', latest: { payload: { ref: '1002', minutes: 15 } }, history: [] })
  await waitFor(() => crm.pops.length > 0, 'the pop')
  expect(crm.pops).toMatchObject([{ agent: '1002', call_ref: '77', contact_ref: 'k-9' }])
  const rows = async () => (await postgres.db.query<{ call_ref: string }>('select call_ref from cdrs')).rows
  await waitFor(async () => (await rows()).length > 0, 'the row')
  expect(await rows()).toEqual([{ call_ref: '77' }])
}, 240_000)
