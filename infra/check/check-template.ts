import { isObject } from '../../src/protocol/index.ts'
import { logicalName, stackName } from '../stack/names.ts'
import type { StackOptions } from '../stack/options.ts'
import { roleName } from '../stack/roles.ts'
import type { StackRoute } from '../stack/stack-routes.ts'
import { checkAlarms, checkCommands, checkRelay, checkReplays, checkRoutes } from './check-parts.ts'
import { checkUrls } from './check-urls.ts'
import { checkProperties, checkReferences, checkSize, objectsIn, ofType, type Template } from './cloudformation.ts'

/** Everything that is wrong with the compiled template of a stack, in words; empty when nothing is. */
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

/** What AWS gives no narrower right for: X-Ray knows no resources, and Lambda attaches functions to a VPC on interfaces of its own. */
const UNBOUNDED =
  /^(xray:(PutTraceSegments|PutTelemetryRecords)|ec2:(CreateNetworkInterface|DescribeNetworkInterfaces|DeleteNetworkInterface))$/

/** Rights that are wider than they must be: any action or resource, in any policy that allows, unless a route declares that for its own role. */
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

/** Each function has a role, and no two the same one. */
function* checkRoles(template: Template): Generator<string> {
  const users = new Map<string, string>()
  for (const [name, properties] of ofType(template, 'AWS::Lambda::Function')) {
    const role = JSON.stringify(properties['Role'])
    const other = users.get(role)
    if (other !== undefined) yield `${name} and ${other} have the same role`
    users.set(role, name)
  }
}

/** Names of things that must not be written down. */
const SECRET = /token|secret|password|passwd|credential|api_?key|private/i

/** A long random text, as a token is. */
const RANDOM = /\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/_-])/

/** What may be long and random and is no secret: where an artefact is, words for people, who is written to. */
const OPEN = /^(S3Key|AlarmDescription|Handler|Endpoint)$/

/** What is or may be a secret in plain text. What names a parameter that holds one is none. */
function* checkSecrets(template: Template, prefix: string): Generator<string> {
  // A name of ours may have digits and be long; the part behind its prefix is looked at.
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
