import { checkApi } from './api.ts'
import { checkPolicies, checkRoles } from './policies.ts'
import { checkReferences } from './references.ts'
import { checkRelay, checkReplays } from './relay.ts'
import { checkRoutes } from './routes.ts'
import { faultsOf, lookUp } from './schemas.ts'
import { checkSecrets } from './secrets.ts'
import type { StackOptions } from '../stack/options.ts'
import type { Template } from './template.ts'

/** CloudFormation's own limits. Source: "Understand CloudFormation quotas". */
const MOST_RESOURCES = 500
const MOST_BYTES = 1024 * 1024

/** Everything that is wrong with the compiled template of a stack, in words; empty when nothing is. */
export function checkTemplate(
  template: Template,
  { prefix, routes, apiConcurrency }: Pick<StackOptions, 'prefix' | 'routes' | 'apiConcurrency'>,
): string[] {
  return [
    ...checkSize(template),
    ...checkProperties(template),
    ...checkReferences(template),
    ...checkRoutes(template, prefix, routes),
    ...checkApi(template, prefix, apiConcurrency),
    ...checkRelay(template, prefix),
    ...checkReplays(template, prefix),
    ...checkPolicies(template, routes),
    ...checkRoles(template),
    ...checkSecrets(template, prefix),
    ...checkAlarms(template),
  ]
}

function* checkSize(template: Template): Generator<string> {
  const count = Object.keys(template.Resources).length
  if (count > MOST_RESOURCES)
    yield `the template has ${count} resources; CloudFormation accepts at most ${MOST_RESOURCES}`
  const bytes = Buffer.byteLength(JSON.stringify(template))
  if (bytes > MOST_BYTES) yield `the template has ${bytes} bytes; CloudFormation accepts at most ${MOST_BYTES}`
}

/** Names, presence and types of properties, against the public CloudFormation schemas. */
function* checkProperties({ Resources }: Template): Generator<string> {
  for (const [name, { Type, Properties = {} }] of Object.entries(Resources)) {
    const schema = lookUp(Type)
    if (schema === undefined) yield `${name}: CloudFormation does not know the type ${Type}`
    else yield* faultsOf(schema.properties, Properties, name)
  }
}

/** Each alarm tells somebody, says what to do, and is about something that is there. */
function* checkAlarms({ Resources }: Template): Generator<string> {
  const names = new Set(
    Object.values(Resources)
      .flatMap(({ Properties: p = {} }) => [p['QueueName'], p['FunctionName']])
      .filter((name) => typeof name === 'string'),
  )
  for (const [name, { Type, Properties: p = {} }] of Object.entries(Resources)) {
    if (Type !== 'AWS::CloudWatch::Alarm') continue
    if (!Array.isArray(p['AlarmActions']) || p['AlarmActions'].length === 0)
      yield `${name} has no alarm action, so it notifies nobody`
    const says = typeof p['AlarmDescription'] === 'string' ? p['AlarmDescription'] : ''
    if (says.length < 80 || says.length > 1024)
      yield `the description of ${name} must have 80 to 1024 characters and say what to do`
    const [dimension] = p['Dimensions'] as readonly { readonly Value: string }[]
    if (!names.has(dimension?.Value ?? '')) yield `${name} watches ${dimension?.Value}, which does not exist`
  }
}
