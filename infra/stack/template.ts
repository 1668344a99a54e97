/** A part of a CloudFormation template. */
export type Resource = {
  readonly Type: string
  readonly Properties: Readonly<Record<string, unknown>>
  readonly DeletionPolicy?: 'Retain' | 'Delete'
  readonly UpdateReplacePolicy?: 'Retain' | 'Delete'
  readonly DependsOn?: readonly string[]
}

export type Resources = Readonly<Record<string, Resource>>

export const ref = (logicalId: string) => ({ Ref: logicalId })
export const arnOf = (logicalId: string) => ({ 'Fn::GetAtt': [logicalId, 'Arn'] })

/** The text with AWS' own variables, such as `${AWS::Region}`. */
export const sub = (text: string) => ({ 'Fn::Sub': text })

/** What happens to data when its stack is removed, or when it would have to be made anew. */
export const kept = (keep: boolean) => {
  const policy = keep ? ('Retain' as const) : ('Delete' as const)
  // A part that is made anew under another name leaves the old one behind in any case: it may hold messages.
  return { DeletionPolicy: policy, UpdateReplacePolicy: 'Retain' as const }
}
