"""Single constructs of Jinja and Python that chat templates use, or might. Each is a template of its own, over the
variables below and the messages of a case."""

VARIABLES = {
    "s": "Hello World",
    "padded": "  \t two words \n",
    "accents": "Éà ß ǆ İı 日本語 🦀 e\u0301",
    "lines": "one\ntwo\r\nthree\rfour\x0bfive\x85six\u2028seven\n",
    "quotes": "a \"b\" 'c' \\d & <e> {f} {{g}} %h",
    "control": "\x00\x01\x1f\x7f\x80\ufeff",
    "empty": "",
    "thought": "<think>\nWhy?\n</think>\n\nBecause.",
    "n": 7,
    "zero": 0,
    "negative": -3,
    "f": 2.5,
    "tiny": 1e-07,
    "huge": 1e16,
    "yes": True,
    "no": False,
    "nothing": None,
    "xs": [3, 1, 2],
    "words": ["pear", "Apple", "fig", "apple"],
    "mixed": [1, "a", None, True, 2.0, [1], {"k": "v"}],
    "d": {"b": 1, "a": "x", "c": [1, {"z": None, "y": 1.5}]},
    "people": [{"name": "Zoe", "age": 3}, {"name": "adam", "age": 30}, {"name": "Bob", "age": 3}],
    "call": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 3, "units": ["C", "F"]}},
}

EXPRESSIONS = """
s|upper
s|lower
s|title
s|capitalize
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
s.casefold()
accents.upper()
accents.lower()
accents.title()
accents|title
accents|capitalize
accents|length
"it's o'neil x-ray a_b 3rd".title()
"it's o'neil x-ray a_b (3rd) [a] {b} <c>"|title
padded.strip()
padded.lstrip()
padded.rstrip()
padded|trim
padded|trim('\\n ')
"xxhixx"|trim('x')
"xxhixyx".strip('xy')
"xxhixyx".lstrip('xy')
"xxhixyx".rstrip('xy')
"xxhixyx".strip(chars='x')
"\\u00a0\\u2003a\\u200b".strip()
"\\x1c\\x1d\\x1e\\x1fa\\x1f".strip()
"\\x1ca"|trim
"a\\x1cb c".split()
s.split()
s.split(' ')
s.split('o')
s.split('o', 1)
s.split('o', maxsplit=1)
s.split(sep='o')
s.rsplit('o', 1)
s.rsplit()
s.rsplit('o')
"  a  b  ".split()
"  a  b  ".split(' ')
"  a  b  c ".split(None, 1)
"  a  b  c ".rsplit(None, 1)
"a,b,,c".split(',')
"".split()
"".split(',')
"abc".split('')
s.split('o')[0]
s.split('o')[-1]
s.split('o')|join('0')
s.split('o')|length
s.partition('o')
s.rpartition('o')
s.partition('q')
s.rpartition('q')
lines.splitlines()
lines.splitlines(True)
lines.splitlines(keepends=true)
"".splitlines()
"a\\n".splitlines()
s.replace('o', '0')
s.replace('o', '0', 1)
s.replace('', '-')
s|replace('o', '0')
s|replace('o', '0', 1)
s|replace('o', '0', count=1)
s.startswith('He')
s.startswith('lo', 3)
s.startswith('Wor', 6, 9)
s.startswith(('a', 'He'))
s.startswith('')
s.endswith('ld')
s.endswith(('x', 'ld'))
s.endswith('lo', 0, 5)
s.find('o')
s.find('o', 5)
s.find('o', 5, 6)
s.find('q')
s.rfind('o')
s.rfind('o', 0, 6)
s.index('o')
s.index('q')
s.rindex('o')
s.rindex('q')
s.count('o')
s.count('o', 5)
s.count('')
accents.find('日')
accents.rfind('🦀')
s.removeprefix('Hello ')
s.removeprefix('x')
s.removesuffix('World')
s.removesuffix('x')
s.center(21)
s.center(20, '*')
s.ljust(15) ~ '|'
s.rjust(15)
s.rjust(15, '.')
s.zfill(15)
"-5".zfill(5)
"+5".zfill(5)
"a\\tb\\tc".expandtabs()
"a\\tb\\tc".expandtabs(4)
s|center(21)
'-'.join(['a', 'b'])
', '.join(words)
''.join(xs)
''.join([])
'-'.join('abc')
'-'.join(d)
s.isalpha()
'abc'.isalpha()
''.isalpha()
'ab1'.isalnum()
'12'.isdigit()
'²'.isdigit()
'½'.isnumeric()
'½'.isdigit()
'١'.isdecimal()
'²'.isdecimal()
'abc'.islower()
'aBc'.islower()
'ABC'.isupper()
'1'.isupper()
' \\t'.isspace()
''.isspace()
'Ab Cd'.istitle()
'abc'.isidentifier()
'abc'.isascii()
'é'.isascii()
'abc\\n'.isprintable()
'{} and {}'.format('a', 1)
'{0} {1} {0}'.format('a', 'b')
'{x} {y}'.format(x=1, y='z')
'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')
'{:05d} {:.2f} {:x} {:,}'.format(42, 3.14159, 255, 1234567)
'{{}} {}'.format(1)
'{!r} {!s}'.format('a', 'b')
'{0[a]} {0[b]}'.format(d)
'%s and %d' % ('a', 3)
'%s' % s
'%s' % [1, 'a']
'%5.2f|%-5s|%05d|%x|%%' % (3.14159, 'ab', 42, 255)
'%(a)s' % d
'%s and %s'|format('a', 'b')
'%s'|format(mixed)
'%r'|format('a')
'%d'|format(3.7)
'%5s|%-5s|'|format('a', 'b')
s * 2
2 * s
s * 0
s * -1
'-' * 10
xs * 2
s ~ n
s ~ nothing
s ~ yes
s ~ f
s ~ xs
s ~ d
nothing ~ nothing
s + '!'
s + n
xs + [4]
xs + words
n + 1
n - 10
n * 3
n / 2
6 / 2
n // 2
-7 // 2
7 // -2
7.5 // 2
n % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
2 ** 10
2 ** -1
2 ** 0.5
(-2) ** 2
-2 ** 2
12345678901234567890123 + 1
12345678901234567890123 * 2
huge
huge * 10
tiny
f
1e3
1.0
1.5e300 * 1e10
0.1 + 0.2
1 / 3
100000000000000000000.0
123456789012345.0
1234567890123456789.0
1e22
1e-5
0.0001
-0.0
3.0 * 2
10 / 5
true + true
yes
no
nothing
undefined_name
none
None
True
False
not yes
not undefined_name
yes and 'a'
no or 'b'
nothing or 'c'
empty or 'd'
zero or 'e'
'' and 'x'
0 and 1
[] or {}
1 and 2 and 3
n == 7
n == 7.0
1 == true
'1' == 1
none == none
none == false
[1, 2] == [1, 2]
(1, 2) == (1, 2)
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
n != 7
1 < 2
1 < 2 < 3
1 < 3 < 2
3 > 2 > 1
'a' < 'b'
'a' < 'B'
[1, 2] < [1, 3]
'a' < 1
none < 1
2 >= 2.0
'o' in s
'q' in s
'q' not in s
not 'o' in s
1 in xs
'a' in d
'z' in d
'a' in ['a', 'b']
'a' in ('a', 'b')
none in [none]
none in mixed
'ell' in 'hello'
1 in 'hello1'
'a' in nothing
'a' in undefined_name
s[0]
s[-1]
s[20]
s[1:4]
s[::-1]
s[-3:]
s[:-3]
s[::2]
s[5:1:-1]
s[:]
s[100:]
accents[0:3]
accents[::-1]
xs[0]
xs[-1]
xs[5]
xs[1:]
xs[::-1]
xs[:1]
xs[:-1]
xs[-2:]
xs[::2]
xs[1:][0]
xs[::-1][0]
xs[::-1]|length
xs[1:]|length
xs[1:]|tojson
xs[1:]
xs[5:]
messages[1:]|length
messages[-1].content
messages[-1]['role']
messages[0].nothing
messages[0]['nothing']
messages[99]
messages[99].content
messages[0].nothing.more
d.a
d['a']
d.missing
d['missing']
d.missing is defined
d.get('a')
d.get('missing')
d.get('missing', 'dflt')
d.items()
d.items()|list
d.keys()|list
d.values()|list
d|items|list
d|dictsort
d|dictsort(false, 'value')
{'b': 1, 'a': 2}|dictsort(reverse=true)
{'b': 1, 'a': 2}|dictsort(by='value')
{'B': 1, 'a': 2, 'C': 3}|dictsort
{'B': 1, 'a': 2, 'C': 3}|dictsort(true)
d.keys()
d.values()
d|list
d|length
d
{'b': 1, 'a': 2}
{'b': 1, 'a': 2, 'b': 3}
{1: 'a', 'x': 2, none: 3, true: 4}
{}
{'a': {'b': 'c'}}
[]
[1, 'a', none, true, 1.0]
['it\\'s', "say \\"hi\\"", "both ' and \\"", 'new\\nline', '\\\\', 'é', '\\x00', '\\x7f', '\\u200b']
(1, 2)
(1,)
()
1, 2
mixed
words
d.copy()
xs.copy()
xs.index(1)
xs.index(9)
xs.count(1)
xs.append(4)
xs.pop()
xs.sort()
xs.reverse()
xs.insert(0, 1)
d.update({'q': 1})
d.pop('a')
d.setdefault('q', 1)
d.clear()
d.popitem()
(1, 2).count(1)
(1, 2).index(2)
s.items()
n.bit_length()
s.foo
s.foo()
n.real
s.__class__
s.__len__
d.__class__
''.__class__.__mro__
xs|length
xs|count
xs|first
xs|last
[]|first
[]|last
''|first
s|first
s|last
xs|sort
xs|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
words|sort(true)
people|sort(attribute='age')|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|list
people|sort(attribute='name')|map(attribute='name')|list
mixed|sort
xs|min
xs|max
words|min
words|max
people|max(attribute='age')
[]|max
xs|sum
people|sum(attribute='age')
xs|sum(start=10)
[]|sum
['a']|sum
xs|reverse|list
s|reverse
xs|join
xs|join(', ')
xs|join(d='-')
people|join(', ', attribute='name')
s|join(',')
mixed|join(',')
xs|list
s|list
d|list
'abc'|list
xs|map('string')|list
words|map('upper')|join(' ')
people|map(attribute='name')|join(', ')
people|map(attribute='zip', default='?')|list
people|map(attribute='zip')|list
xs|map('default', 1)|list
words|map('replace', 'p', 'b')|list
xs|select('odd')|list
xs|select('gt', 1)|list
xs|select|list
[0, 1, '', 'a', none]|select|list
xs|reject('odd')|list
people|selectattr('age', 'equalto', 3)|map(attribute='name')|list
people|selectattr('age', '==', 3)|list|length
people|selectattr('age', 'eq', 3)|list|length
people|selectattr('age', 'gt', 3)|list|length
people|selectattr('age', 'in', [3])|list|length
people|selectattr('age')|list|length
people|selectattr('zip', 'defined')|list|length
people|rejectattr('age', 'equalto', 3)|map(attribute='name')|first
messages|selectattr('role', 'equalto', 'user')|list|length
messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join('|')
(messages|selectattr('role', 'equalto', 'user')|list|last).content
messages|rejectattr('role', 'equalto', 'system')|list|length
people|groupby('age')|list|length
people|groupby('age')
people|groupby('age')|map(attribute='grouper')|list
people|groupby('age')|map(attribute='list')|map('length')|list
people|groupby('zip', default='x')|length
words|unique|list
words|unique(case_sensitive=true)|list
xs|unique|list
people|unique(attribute='age')|map(attribute='name')|list
xs|batch(2)|list
xs|batch(2, 'x')|list
xs|slice(2)|list
xs|slice(2, 'x')|list
n|string
n|string + 'x'
f|string
nothing|string
xs|string
d|string
yes|string
n|float
'3.7'|float
'x'|float
'x'|float(1.5)
'3'|int
'3.7'|int
'x'|int
'x'|int(5)
'0x1f'|int(base=16)
'ff'|int(0, 16)
' 12 '|int
3.99|int
-3.99|int
yes|int
nothing|int
n|abs
negative|abs
negative|abs + 1
2.5|round
3.5|round
2.567|round(2)
2.1|round(method='ceil')
2.9|round(method='floor')
2.567|round(1, 'floor')
1234.5|round(-2)
n|round
42.55|round(1)
undefined_name|default('x')
undefined_name|d('x')
empty|default('x')
empty|default('x', true)
nothing|default('x')
nothing|default('x', true)
nothing|default('x', boolean=true)
d.missing|default('y')
undefined_name.foo|default('x')
undefined_name|length
undefined_name|list
undefined_name|join
undefined_name|upper
undefined_name|string
undefined_name + 'x'
undefined_name ~ 'x'
undefined_name == undefined_name
undefined_name == none
undefined_name is none
undefined_name.foo
undefined_name['foo']
undefined_name()
undefined_name < 1
undefined_name|tojson
[undefined_name]
[undefined_name]|tojson
-undefined_name
not undefined_name.foo
quotes|e
quotes|escape
quotes|escape|upper
quotes|e ~ '<'
quotes|safe
quotes|forceescape
'<b>' ~ ('<i>'|e)
('<i>'|e) + '<b>'
'<a>hi</a> <!-- c --> &lt; x'|striptags
quotes|urlencode
'a b/c?d=é&f'|urlencode
d|urlencode
s|wordcount
s|truncate(8)
s|truncate(8, true)
s|truncate(8, true, '..')
s|truncate(8, leeway=0)
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(11, leeway=0)
'foo bar baz qux quux'|wordwrap(7)
'foobarbaz qux'|wordwrap(4)
'foobarbaz qux'|wordwrap(4, false)
'a\\nb\\n\\nc'|indent
'a\\nb\\n\\nc'|indent(2)
'a\\nb\\n\\nc'|indent(2, true)
'a\\nb\\n\\nc'|indent(2, first=true, blank=true)
'a\\nb'|indent('>>')
'a\\nb\\n'|indent(2)
1000|filesizeformat
1500000|filesizeformat
1500000|filesizeformat(true)
{'class': 'x', 'id': none}|xmlattr
d|attr('a')
people[0]|attr('name')
d|pprint
xs|pprint
mixed|tojson
d|tojson
d|tojson(indent=2)
d|tojson(indent=4)
d|tojson(2)
d|tojson(indent=0)
d|tojson(indent='\\t')
d|tojson(separators=(',', ':'))
d|tojson(separators=(', ', ': '))
d|tojson(indent=2, separators=(',', ': '))
d|tojson(sort_keys=true)
d|tojson(ensure_ascii=false)
call|tojson
call|tojson(ensure_ascii=true)
call.arguments|tojson
quotes|tojson
control|tojson
control|tojson(ensure_ascii=true)
accents|tojson
accents|tojson(ensure_ascii=true)
lines|tojson
s|tojson
n|tojson
f|tojson
tiny|tojson
huge|tojson
12345678901234567890123|tojson
1e22|tojson
1.0|tojson
yes|tojson
nothing|tojson
[]|tojson
{}|tojson
[]|tojson(indent=2)
{}|tojson(indent=2)
[[], {}]|tojson(indent=2)
(1, 2)|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
d.items()|tojson
d.items()|list|tojson
d.keys()|tojson
xs|map('string')|tojson
xs|map('string')|list|tojson
range(3)|tojson
range(3)|list|tojson
quotes|e|tojson
d|tojson|safe
d|tojson|length
d|tojson|indent(2)
range(5)
range(5)|list
range(2, 5)|list
range(5, 0, -2)|list
range(0)|list
range(5)[1:3]|list
range(5)|length
range(5)[-1]
3 in range(5)
dict(a=1, b=2)
dict([('a', 1), ('b', 2)])
dict({'a': 1}, b=2)
dict(d, q=1)
dict()
dict.fromkeys(['a', 'b'], 0)
namespace(a=1).a
namespace({'a': 1}).a
namespace(a=1).b
namespace(a=1)
namespace(_a=1)._a
cycler('a', 'b').next()
joiner(',')()
s is string
n is string
n is number
n is integer
f is float
f is number
yes is number
yes is integer
yes is boolean
n is boolean
no is false
yes is true
1 is true
n is odd
n is even
n is divisibleby 7
n is divisibleby(3)
xs is iterable
s is iterable
n is iterable
d is iterable
undefined_name is iterable
xs is sequence
s is sequence
d is sequence
n is sequence
(1, 2) is sequence
xs[1:] is sequence
xs|map('string') is sequence
xs|map('string') is iterable
range(3) is sequence
d is mapping
xs is mapping
namespace() is mapping
nothing is none
nothing is not none
nothing is defined
undefined_name is defined
undefined_name is undefined
undefined_name is not defined
s is defined and s is string
s is lower
'abc' is lower
'ABC' is upper
'ab1' is lower
'1' is lower
s is sameas s
1 is sameas 1
none is sameas none
'a' is in ['a']
'a' is in 'abc'
1 is in [1, 2]
n is eq 7
n is equalto 7
n is ne 7
n is lt 8
n is le 7
n is gt 6
n is ge 7
n is greaterthan 6
n is lessthan 8
s is callable
range is callable
raise_exception is defined
strftime_now is defined
nosuch_function is defined
'upper' is filter
'nosuch' is filter
'defined' is test
'nosuch' is test
s is escaped
s is nosuch
s|nosuch
nosuch_function()
raise_exception('stop')
raise_exception(message='stop')
'a' if yes else 'b'
'a' if no else 'b'
'a' if no
('a' if no) is defined
'a' if yes else ('b' if no else 'c')
'a' if n > 5 and 'o' in s else 'b'
s if s is string else s|tojson
messages[0]['role'] == 'system'
messages[0].role == 'system' and messages|length > 1
(messages|last).role
messages|map(attribute='role')|join(',')
messages|length is odd
messages[0] is mapping
messages[0].content is string
messages[0].content is iterable and messages[0].content is not string
messages|tojson
messages[0]
messages[0].keys()|list
messages[0].items()|list
messages[0].get('tool_calls')
messages[0].tool_calls
messages[0].tool_calls is defined
'tool_calls' in messages[0]
'content' in messages[0]
messages[0]['content'] | trim
messages[0]['content'].strip() + eos_token
bos_token + s
bos_token ~ s
bos_token is defined
eos_token
unk_token
pad_token is defined
tools
tools is none
tools is defined
tools is not none
documents
documents is defined
tools|length
tools and tools|length > 0
add_generation_prompt
add_generation_prompt is defined and add_generation_prompt
builtin_tools is defined
thought.split('</think>')[-1].lstrip('\\n')
thought.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n')
'</think>' in thought
thought|replace('<think>', '')|replace('</think>', '')|trim
thought.rfind('</think>') + 8
thought[thought.rfind('</think>') + 8:]
loop is defined
'a' 'b'
'a' "b" ~ 'c'
'\\x41\\u00e9\\n\\t\\101\\d\\\\'
"\\"" ~ '\\''
'\\U0001F980'
'\\N{CRAB}'
'\\a\\v\\e'
1_000
0x1F
0b101
0o17
1.5e3
.5
5.
1e5
"unterminated
{{ nested }}
s.upper().lower().title()
s|upper|lower|title
(s ~ '!')|upper
s ~ '!'|upper
-n|abs
(-n)|abs
not n == 7
n + 1 * 2
(n + 1) * 2
n is odd and yes
not n is odd
n if n else 0
xs[n - 7]
d['a' if yes else 'b']
d[s[0:0] ~ 'a']
people[0].name[0]
people[0]['name'][-1:]
s[1:][:3]
s.split(' ')[1][0]
[1, 2, 3][1]
{'a': [1, 2]}['a'][1]
{'a': 1}.a
'abc'[1]
(1, 2)[0]
xs is iterable and xs is not mapping
"%s" % "x" ~ "y"
n // 2 * 2
n - -1
+n
--n
[x for x in xs]
lambda x: x
s[1, 2]
s.1
xs.0
xs.0 + 1
people.0.name
xs|zip(words)|list
3|range
xs|tojson|upper
s|upper == 'HELLO WORLD'
'a' ~ 1 + 2
1 + 2 ~ 'a'
1 in [1] in [[1]]
[1, 2,]
{'a': 1,}
(1, 2,)
f(1)
'a'|xmlattr
xs|select('undefined')|list
'%c'|format(65)
'%d %s' % (n, d)
'%s' % none
'%s %s' % (1,)
'%d' % 'x'
7 % 0
7.5 % 0
-7.5 % 3
7 % -2.5
true % 2
none % 2
n % 2.0
s % 2
f ~ 1e16 ~ [1e16]
d ~ words
undefined_name ~ none
'%s %s'|format('a')
'{}'.format()
'{a}'.format(b=1)
s.encode()
s.format_map(d)
s.translate({})
s.maketrans('a', 'b')
"İ".lower()
"ﬁ".upper()
"ß".title()
"ǆ".capitalize()
"ΑΣ".lower()
"ß".casefold()
""".strip().split("\n")

# Whole templates, where white space, scopes and statements are the matter.
STATEMENTS = [
    "{% for x in xs %}{{ x }}{% endfor %}",
    "{% for x in xs %}\n  {{ x }}\n{% endfor %}\n",
    "{% for x in xs -%}\n  {{ x }}\n{%- endfor %}\n",
    "  {% if yes %}\n  a\n  {% endif %}\nb",
    "  {%+ if yes %}\n  a\n  {%+ endif +%}\nb",
    "a\n  {# comment #}\nb",
    "a {# comment #} b\n",
    "a\n  {#- comment -#}\n  b",
    "{{ s }}\n\n",
    "{{ s }}\n",
    "{{ s -}}  \n x",
    "x \n {{- s }}",
    "\n\n{{ s }}",
    "{% if yes %}\n\n{{ s }}\n\n{% endif %}\n\nx",
    "\t{% if yes %}x{% endif %}",
    "a\t{% if yes %}x{% endif %}",
    "{% if yes %}a{% endif %}  \n  {% if yes %}b{% endif %}\n",
    "{%if yes%}a{%endif%}",
    "{%-if yes-%} a {%-endif-%}",
    "a\r\nb\rc\n{{ 'x\r\ny' }}\r\n",
    "{% if yes %}\r\na\r\n{% endif %}\r\n",
    "{% if yes %}\ra{% endif %}\r",
    "a\r\n",
    "a\n\r",
    "\ufeff{{ s }}",
    "a\u2028{% if yes %}\u2028b{% endif %}",
    " \u00a0{% if yes %}b{% endif %}",
    "{{ '{{' }}{{ '}}' }}{{ '{%' }}",
    "{% raw %}{{ s }}{% if %}{% endraw %}",
    "{% raw %}\n{{ s }}\n{% endraw %}\nx",
    "{%- raw -%}  {{ s }}  {%- endraw -%}",
    "{% raw %}{% generation %}{% endraw %}{% generation %}a{% endgeneration %}",
    "{# {% generation %} #}a",
    "{{ '{% generation %}' }}",
    '{{ "{% generation %}" }}{% if "{% generation %}" %}x{% endif %}',
    "{%- generation -%} a {%- endgeneration -%} b",
    "{% generation %}\n  a\n{% endgeneration %}\nb",
    "  {% generation %}a{% endgeneration %}\n",
    "{%+ generation +%} a {%+ endgeneration +%}",
    "{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% set x = 0 %}{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% for m in messages %}{% generation %}{{ loop.index }}{{ m.role }}{% endgeneration %}{% endfor %}",
    "{% set ns = namespace(x=0) %}{% generation %}{% set ns.x = 5 %}{% endgeneration %}{{ ns.x }}",
    "{% for m in messages %}{% if m.role == 'user' %}{% generation %}u{% endgeneration %}{% else %}o{% endif %}{% endfor %}",
    "{% generation %}{% if yes %}a{% else %}b{% endif %}{% for x in xs %}{{ x }}{% endfor %}{% endgeneration %}",
    "{% generation foo %}a{% endgeneration %}",
    "{% generation %}a",
    "{% generation %}a{% endgeneration %}{% generation %}b{% endgeneration %}",
    "{% generation %}a{% generation %}b{% endgeneration %}{% endgeneration %}",
    "{{ generation }}{% set generation = 1 %}{{ generation }}",
    "{% set x = 1 %}{% for i in xs %}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% for i in xs %}{% if loop.first %}{% set y = 1 %}{% endif %}{{ y is defined }}{% endfor %}",
    "{% for i in xs %}{{ y }}{% set y = i %}{% endfor %}",
    "{% set ns = namespace(found=false, n=0) %}{% for i in xs %}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.found }} {{ ns.n }}",
    "{% set ns = namespace(l=[]) %}{% for i in xs %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b is defined }}",
    "{% set ns = {} %}{% set ns.a = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1, 2] %}{{ a }}{{ b }}",
    "{% set (a, b) = (1, 2) %}{{ a }}{{ b }}",
    "{% set a, b = 1 %}",
    "{% set x %}a {{ s }} b{% endset %}[{{ x }}]",
    "{% set x | upper %}a {{ s }}{% endset %}{{ x }}",
    "{% set x %}\n  a\n{% endset %}[{{ x }}]",
    "{% set ns = namespace() %}{% set ns.x %}block{% endset %}{{ ns.x }}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }};{% endfor %}",
    "{% for k, v in {'z': 1, 'a': 2, 'm': 3}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}",
    "{% for c in s %}{{ c }}.{% endfor %}",
    "{% for x in xs %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in xs %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in xs %}{{ loop.depth }}{{ loop.depth0 }}{% for y in xs %}{{ loop.depth }}{% endfor %}{% endfor %}",
    "{% for x in xs %}{% set outer = loop %}{% for y in words %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.index }}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for x in xs if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}",
    "{% for x in undefined_name %}a{% else %}empty{% endfor %}",
    "{% for x in nothing %}a{% else %}empty{% endfor %}",
    "{% for x in n %}a{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in xs %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}|{% endfor %}",
    "{% break %}",
    "{% for x in xs %}{% set y %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endset %}{{ y }}{% endfor %}",
    "{% for x in xs %}{% filter upper %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfilter %}{% endfor %}",
    "{% for x in xs %}{% with y = x %}{% if y == 1 %}{% continue %}{% endif %}{{ y }}{% endwith %}{% endfor %}",
    "{% for x in xs %}{% generation %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endgeneration %}{% endfor %}",
    "{% for x in xs %}{{ x }}{% endfor %}{{ x }}",
    "{% for x in xs[::-1] %}{{ x }}{{ loop.index0 }}{{ loop.last }}{% endfor %}",
    "{% for x in xs|reverse %}{{ x }}{{ loop.last }}{% endfor %}",
    "{% for i in range(0, 3) %}{{ i }}{% endfor %}",
    "{% for x in range(3)|reverse %}{{ x }}{% endfor %}",
    "{% for item in tree recursive %}{{ item }}{% endfor %}",
    "{% for item in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ item.n }}{{ loop(item.c) }}{% endfor %}",
    "{% macro m(a, b=2) %}[{{ a }},{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=5) }}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, x=2) }}",
    "{% macro m() %}{{ varargs|join('-') }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ kwargs.x }}{% endmacro %}{{ m(1, x=2) }}",
    "{% macro m(x) %}{{ s }}{{ x }}{% endmacro %}{% set s = 'set' %}{{ m(1) }}",
    "{% set v = 'outer' %}{% macro m() %}{{ v }}{% endmacro %}{{ m() }}{% set v = 'later' %}{{ m() }}",
    "{% macro m() %}{% set s = 'in' %}{{ s }}{% endmacro %}{{ m() }}{{ s }}",
    "{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n }}*{{ fact(n - 1) }}{% endif %}{% endmacro %}{{ fact(4) }}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}b{% endmacro %}{{ a() }}",
    "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro m() %}  x  {% endmacro %}[{{ m() }}][{{ m()|trim }}]",
    "{% macro m() %}\n  x\n{% endmacro %}[{{ m() }}]",
    "{%- macro m(x) -%}\n  {{- x -}}\n{%- endmacro -%}\n[{{ m('a') }}]",
    "{% macro m() %}x{% endmacro %}{{ m }}",
    "{% macro m(a, b=1) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.caller }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{% set r = m('q') %}{{ r|upper }}{{ r is string }}{{ r + 'x' }}",
    "{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m('&') ~ '<' }}",
    "{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m() %}({{ caller('a') }}){% endmacro %}{% call(x) m() %}{{ x }}!{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% for i in xs %}{{ m() }}{% endfor %}",
    "{% for i in xs %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(d={}) %}{{ d }}{% endmacro %}{{ m() }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}",
    "{% macro m(x) %}{{ caller is defined }}{% endmacro %}{{ m(1) }}",
    "{% filter upper %}a {{ s }}{% endfilter %}",
    "{% filter replace('o', '0')|upper %}{{ s }}{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% with a = 1 %}{% with b = a + 1 %}{{ b }}{% endwith %}{% endwith %}",
    "{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% block x %}in{% endblock %}",
    "{% autoescape true %}{{ quotes }}{% endautoescape %}",
    "{% do xs.append(1) %}",
    "{% include 'x' %}",
    "{% include 'x' ignore missing %}a",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% from 'x' import y %}",
    "{% trans %}a{% endtrans %}",
    "{% debug %}",
    "{% nosuch %}",
    "{% if %}x{% endif %}",
    "{% if yes %}x",
    "{% endif %}",
    "{% else %}",
    "{% for x in xs %}",
    "{{ }}",
    "{{ s",
    "{% if yes",
    "{{ s }",
    "{ { s } }",
    "{# never closed",
    "{% if yes and\n   s %}\nx{% endif %}",
    "{{ s |\n upper }}",
    "{{\n s\n}}",
    "{% if no %}a{% elif yes %}b{% else %}c{% endif %}",
    "{% if nothing is none and undefined_name is not defined %}a{% endif %}",
    "{% if undefined_name %}a{% else %}b{% endif %}",
    "{% if xs %}a{% endif %}{% if [] %}b{% endif %}{% if {} %}c{% endif %}{% if '' %}d{% endif %}{% if 0.0 %}e{% endif %}",
    "{% if undefined_name.foo %}a{% endif %}",
    "{% if not undefined_name is defined %}{% set undefined_name = 'now' %}{% endif %}{{ undefined_name }}",
    "{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools is none }}",
    "{% set tools = tools or [] %}{{ tools|length }}",
    "{% if messages[0]['role'] == 'system' %}{% set sys = messages[0]['content'] %}{% set rest = messages[1:] %}{% else %}{% set sys = '' %}{% set rest = messages %}{% endif %}{{ sys }}|{{ rest|length }}|{% for m in rest %}{{ loop.index0 }}{{ m.role }}{% endfor %}",
    "{% set messages = messages[1:] %}{{ messages|length }}{% for m in messages %}{{ m.role }}{% endfor %}",
    "{% for m in messages[:-1] %}{{ m.role }}{% endfor %}{{ messages[-1].content }}",
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}{% endfor %}",
    "{% set ns = namespace(last=-1) %}{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{% if m.role == 'user' and ns.last < 0 %}{% set ns.last = index %}{% endif %}{% endfor %}{{ ns.last }}",
    "{% for m in messages %}{{ m }}{% endfor %}",
    "{% for m in messages %}{{ m.content is string }}{{ m['content'][:3] }}{% endfor %}",
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}",
    "{% for m in messages %}{% if m.content is string %}{% set content = m.content %}{% else %}{% set content = '' %}{% endif %}{{ content }}{% endfor %}",
    "{% for m in messages %}{% for part in m.content %}{{ part.type }}{% endfor %}{% endfor %}",
    "{% for m in messages %}{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}{% endfor %}",
    "{{ messages[0]['content'][0]['text'] }}",
    "{{ (messages|first)['content']|upper }}",
    "{{ messages | map(attribute='content') | map('trim') | join('\n') }}",
    "{% set d2 = dict(d, extra=1) %}{{ d2.extra }}{{ d.extra is defined }}",
    "{% set x = {'a': 1} %}{% set x = dict(x, **{'b': 2}) %}{{ x }}",
    "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}",
    "{% set x = xs %}{% set xs = [] %}{{ x }}{{ xs }}",
    "{{ '%s' | format(s) if s else '' }}",
    "{% for m in messages %}{%- if loop.first -%}F{%- elif loop.last -%}L{%- else -%}M{%- endif -%}{% endfor %}",
    "{% set loop_messages = messages %}{% for message in loop_messages %}{{ message.role }}{% endfor %}",
    "{{- '\n' }}x{{ '\n' -}}\n  y",
    "a{{ '' }}\n{{ '' }}b\n",
    "{% set x = 'a' -%}\n\n   b",
    "{%- set x = 'a' %}\n\n   b",
    "{{ s }}{% set x = 1 %}\n{{ x }}",
    "{{ undefined_name }}|{{ nothing }}|{{ yes }}",
    "{% set f = s.upper %}{{ f() }}",
    "{% set r = range %}{{ r(2)|list }}",
    "{% set x = joiner(', ') %}{% for i in xs %}{{ x() }}{{ i }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}",
    "{% for x in xs %}{{ 'a' if loop.first else 'b' if loop.last else 'c' }}{% endfor %}",
    "{{ 'a' }}{#- x -#} {{ 'b' }}",
    "{{ 'line\\\ncontinued' }}",
    "{#\n multi\n line #}\nx",
    "   {#\n multi #}   \nx",
    "{% if yes -%}   \n\n x {%- endif %}",
    "x{% if yes %}   {% endif %}y",
    "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- 'U:' + m.content }}\n    {%- else %}\n        {{- 'O:' + m.content }}\n    {%- endif %}\n{%- endfor %}\n",
    "{{ 1 if loop is defined else 2 }}",
    "{% for a in [1,2] %}{% for b in [1,2] %}{% if b == 2 %}{% continue %}{% endif %}{{ a }}{{ b }}{% endfor %}{% endfor %}",
    "{% set x = namespace(a=namespace(b=1)) %}{{ x.a.b }}",
    "{% set ns.a = 1 %}",
    "{% set a = b = 1 %}",
    "{% set d['x'] = 1 %}",
    "{% set x = 1 if no %}{{ x is defined }}",
    "{% call undefined_name() %}x{% endcall %}",
    "{{ strftime_now('%%') }}",
    "{{ strftime_now('%Y')|length }}",
    "{{ strftime_now('%d %b %Y')|length }}{{ strftime_now('%B %d, %Y').split(' ')|length }}",
    "{{ strftime_now('%Y-%m-%d') == strftime_now('%F') }}",
    "{{ strftime_now('%A %a %H:%M %p %j %U %y %I %-d %e').split(' ')|length }}",
    "{{ strftime_now('%q') }}",
    "{{ strftime_now('') }}",
    "{{ strftime_now('é{}') }}",
]


def cases():
    """Name and template of each."""
    for number, text in enumerate(EXPRESSIONS):
        yield f"expression {number}", "{{ " + text + " }}"
    for number, text in enumerate(STATEMENTS):
        yield f"statement {number}", text
