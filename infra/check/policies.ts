import type { StackRoute } from '../routes.ts'
import { logicalName } from '../stack/names.ts'
import { roleName } from '../stack/roles.ts'
import { isRecord, objectsIn, type Template } from './template.ts'

/** What AWS gives no narrower right for: the actions, and why. */
const UNBOUNDED: Readonly<Record<string, string>> = {
  'xray:PutTraceSegments': 'X-Ray actions do not support resources',
  'xray:PutTelemetryRecords': 'X-Ray actions do not support resources',
  'ec2:CreateNetworkInterface': 'Lambda attaches functions to a VPC on its own interfaces',
  'ec2:DescribeNetworkInterfaces': 'Lambda attaches functions to a VPC on its own interfaces',
  'ec2:DeleteNetworkInterface': 'Lambda attaches functions to a VPC on its own interfaces',
}

/** Rights that are wider than they must be: any action or resource, in any policy that allows, unless a route declares that for its own role. */
export function* checkPolicies({ Resources }: Template, routes: readonly StackRoute[]): Generator<string> {
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
      const isTrust = isRecord(object['Principal'])
      const isAny = [object['Resource']].flat().includes('*')
      const narrow = actions.filter((action) => UNBOUNDED[action] === undefined)
      if (isAny && narrow.length > 0) yield `${path} allows ${narrow.join(', ')} on every resource`
      if (!isTrust && object['Resource'] === undefined) yield `${path} names no resource`
    }
  }
}

/** Each function has a role, and no two the same one. */
export function* checkRoles({ Resources }: Template): Generator<string> {
  const users = new Map<string, string>()
  for (const [name, { Type, Properties = {} }] of Object.entries(Resources)) {
    if (Type !== 'AWS::Lambda::Function') continue
    const role = JSON.stringify(Properties['Role'])
    const other = users.get(role)
    if (other !== undefined) yield `${name} and ${other} have the same role`
    users.set(role, name)
  }
}
