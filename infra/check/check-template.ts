import { isObject } from '../../src/protocol/index.ts'
import { API, EVENTS, logicalName, stackName, type StackRoute } from '../stack/stack-routes.ts'
import type { StackOptions } from '../stack/options.ts'
import { roleName } from '../stack/roles.ts'
import { checkAlarms, checkCommands, checkRelay, checkReplays, checkRoutes } from './check-parts.ts'
import {
  checkProperties,
  checkReferences,
  checkSize,
  find,
  findAlarm,
  objectsIn,
  ofType,
  targetOf,
  type Properties,
  type Template,
} from './cloudformation.ts'

/** Returns the faults of the compiled template of a stack, as sentences. */
export function checkTemplate(
  template: Template,
  stack: Pick<StackOptions, 'prefix' | 'routes' | 'apiConcurrency' | 'events'>,
): string[] {
  const { prefix, routes } = stack
  return [
    ...checkSize(template),
    ...checkProperties(template),
    ...checkReferences(template),
    ...checkRoutes(template, prefix, routes),
    ...checkUrls(template, stack),
    ...checkRelay(template, prefix),
    ...checkReplays(template, prefix),
    ...checkCommands(template, prefix),
    ...checkPolicies(template, routes),
    ...checkRoles(template),
    ...checkSecrets(template, prefix),
    ...checkAlarms(template),
  ]
}

/** Actions that AWS supports only on all resources: traces of X-Ray, and the network interfaces with which Lambda attaches functions to a VPC. */
const UNBOUNDED =
  /^(xray:(PutTraceSegments|PutTelemetryRecords)|ec2:(CreateNetworkInterface|DescribeNetworkInterfaces|DeleteNetworkInterface))$/

/** Yields permissions that are too broad: a wildcard action or resource in an Allow statement, unless a route declares the action for its role. */
function* checkPolicies({ Resources }: Template, routes: readonly StackRoute[]): Generator<string> {
  const declared = new Map(
    routes.map((route) => [roleName(logicalName(route)), (route.statements ?? []).flatMap(({ actions }) => actions)]),
  )
  for (const [name, resource] of Object.entries(Resources)) {
    if (!resource.Type.startsWith('AWS::IAM::')) continue
    for (const [path, object] of objectsIn(resource.Properties, name)) {
      if (object['Effect'] !== 'Allow') continue
      const actions = [object['Action']]
        .flat()
        .map(String)
        .filter((action) => declared.get(name)?.includes(action) !== true)
      if ('NotAction' in object || 'NotResource' in object)
        yield `${path} uses NotAction or NotResource, which allows too much`
      for (const action of actions) if (action.includes('*')) yield `${path} allows ${action}`
      const isTrust = isObject(object['Principal'])
      const isAny = [object['Resource']].flat().includes('*')
      const narrow = actions.filter((action) => !UNBOUNDED.test(action))
      if (isAny && narrow.length > 0) yield `${path} allows ${narrow.join(', ')} on every resource`
      if (!isTrust && object['Resource'] === undefined) yield `${path} names no resource`
    }
  }
}

/** Checks that no two functions share a role. */
function* checkRoles(template: Template): Generator<string> {
  const users = new Map<string, string>()
  for (const [name, properties] of ofType(template, 'AWS::Lambda::Function')) {
    const role = JSON.stringify(properties['Role'])
    const other = users.get(role)
    if (other !== undefined) yield `${name} and ${other} have the same role`
    users.set(role, name)
  }
}

/** Names of values that must not be in a template. */
const SECRET = /token|secret|password|passwd|credential|api_?key|private/i

/** A long random text such as a token. */
const RANDOM = /\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/_-])/

/** Properties that can be long and random but are no secrets: paths of artefacts, descriptions, addresses. */
const OPEN = /^(S3Key|AlarmDescription|Handler|Endpoint)$/

/** Yields values that are or may be secrets in plain text. The name of a parameter is not a secret. */
function* checkSecrets(template: Template, prefix: string): Generator<string> {
  // A name of the stack can be long and contain digits, so only the part after its prefix is checked.
  const withoutPrefix = (text: string) => text.replaceAll(prefix, '').replaceAll(stackName(prefix), '')
  for (const [name, resource] of Object.entries(template.Resources)) {
    for (const [path, object] of objectsIn(resource.Properties, name)) {
      for (const [key, value] of Object.entries(object)) {
        if (typeof value !== 'string') continue
        if (SECRET.test(key) && !key.endsWith('_PARAMETER')) yield `${path}.${key} looks like a secret in plain text`
        else if (RANDOM.test(withoutPrefix(value)) && !OPEN.test(key) && !value.includes(':') && !value.startsWith('/'))
          yield `${path}.${key} holds what looks like a token`
      }
    }
  }
}

type Bounds = Pick<StackOptions, 'prefix' | 'apiConcurrency' | 'events'>

/** Checks that functions with a URL can be called by clients with a token, and use no more of the account's concurrency than configured. */
export function* checkUrls(template: Template, { prefix, apiConcurrency, events }: Bounds): Generator<string> {
  const names = new Set([prefix + API, ...(events === undefined ? [] : [prefix + EVENTS])])
  yield* checkUrl(template, 'the read API', prefix + API, apiConcurrency)
  if (events !== undefined) yield* checkUrl(template, 'the stream of changes', prefix + EVENTS, events)
  for (const [name, p] of ofType(template, 'AWS::Lambda::Function')) {
    if (names.has(String(p['FunctionName']))) continue
    // Reserved concurrency is permanently unavailable to all other functions.
    if (p['ReservedConcurrentExecutions'] !== undefined) yield `${name} reserves concurrency`
  }
  yield* checkEvents(template, prefix, events)
}

/**
 * Checks that the URL streams, and has both permissions that AWS requires. With only one of them, AWS answers every request with 403.
 * Source: "Control access to Lambda function URLs" in the Lambda developer guide.
 */
function* checkUrl(template: Template, what: string, name: string, bound: number | undefined): Generator<string> {
  const [functionId, own] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === name)
  if (functionId === undefined) return yield `${what} has no function`
  const reserved = own['ReservedConcurrentExecutions']
  if (reserved !== bound)
    yield `${what} has a reserved concurrency of ${String(reserved)}, but the deployment sets ${String(bound)}`
  const [urlId, url] = urlOf(template, functionId)
  if (urlId === undefined) return yield `${what} has no URL`
  if (url['InvokeMode'] !== 'RESPONSE_STREAM') yield `the URL of ${what} does not stream responses`
  const rights = ofType(template, 'AWS::Lambda::Permission')
    .map(([, properties]) => properties)
    .filter((p) => targetOf(p['FunctionName']) === functionId)
  const allows = (action: string, condition: string, value: unknown) =>
    rights.some((p) => p['Action'] === action && p['Principal'] === '*' && p[condition] === value)
  if (!allows('lambda:InvokeFunctionUrl', 'FunctionUrlAuthType', 'NONE'))
    yield `${what} has no permission for calls of its URL (lambda:InvokeFunctionUrl)`
  if (!allows('lambda:InvokeFunction', 'InvokedViaFunctionUrl', true))
    yield `${what} has no permission for invocations through its URL (lambda:InvokeFunction)`
  for (const p of rights)
    if (p['FunctionUrlAuthType'] === undefined && p['InvokedViaFunctionUrl'] !== true)
      yield `${what} can be invoked without its URL`
}

const urlOf = (template: Template, functionId: string) =>
  find(template, 'AWS::Lambda::Url', (p) => targetOf(p['TargetFunctionArn']) === functionId)

/** The actions that the function for streaming changes needs: for its log, its parameters and their key, and traces. */
const OF_A_READER = /^(logs:(CreateLogStream|PutLogEvents)|ssm:GetParameters|kms:Decrypt|xray:[A-Za-z]+)$/

/** Checks that a separate function streams changes and does nothing else, and that the API tells clients its address; or that there is none. */
function* checkEvents(template: Template, prefix: string, events: number | undefined): Generator<string> {
  const name = prefix + EVENTS
  const [, api] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === prefix + API)
  const told = JSON.stringify(variablesOf(api)['ENIGMA_EVENTS_URL'] ?? '')
  const [id, own] = find(template, 'AWS::Lambda::Function', (p) => p['FunctionName'] === name)
  if (events === undefined) {
    if (id !== undefined || told !== '""') yield `changes are streamed by ${name}, but the deployment sets no events`
    return
  }
  if (id === undefined) return
  const [urlId = ''] = urlOf(template, id)
  if (!told.includes(`\${${urlId}.FunctionUrl}`)) yield `the read API tells no client where ${name} is`
  const seconds = Number(variablesOf(own)['ENIGMA_EVENTS_SECONDS'])
  if (!(seconds > 0 && seconds < Number(own['Timeout'])))
    yield `${name} does not end its streams within its timeout, or also answers other requests: ENIGMA_EVENTS_SECONDS is ${seconds}`
  const [, role] = find(
    template,
    'AWS::IAM::Role',
    (p) => p === template.Resources[targetOf(own['Role']) ?? '']?.Properties,
  )
  for (const [, statement] of objectsIn(role['Policies'])) {
    const actions = statement['Action'] === undefined ? [] : [statement['Action']].flat().map(String)
    for (const action of actions) if (!OF_A_READER.test(action)) yield `${name} may do ${action}`
  }
  const [, logs] = find(template, 'AWS::Logs::LogGroup', (p) => p['LogGroupName'] === `/aws/lambda/${name}`)
  if (typeof logs['RetentionInDays'] !== 'number') yield `the log group of ${name} has no retention`
  if (findAlarm(template, 'Errors', name)[0] === undefined) yield `no alarm for errors of ${name}`
}

function variablesOf(lambda: Properties): Properties {
  const environment = lambda['Environment']
  return isObject(environment) && isObject(environment['Variables']) ? environment['Variables'] : {}
}
