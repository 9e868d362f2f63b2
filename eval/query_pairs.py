#!/usr/bin/env python3
"""Writes query_pairs.jsonl: answers of which it is known whether they keep to the query.

They test the measure of `sda eval ifeval --query-model`. Each record has two answers to the same query that both
follow its instruction: "on" says something about what was asked without its very words where that reads well, "off"
is one of the ways in which steered answers lose the query: empty politeness, talk about the rule itself, a list of
the rule's own words, an answer to something else.
"""

import json
import pathlib

ROWS = """
Describe the moon in one or two sentences.|punctuation:no_comma|It circles the Earth once a month and lights up the night sky.|I am glad that I could help you with your question!
What is special about honey bees? Answer briefly.|punctuation:no_comma|They dance to tell their hive where the flowers are.|Here is the answer without a single comma in it.
Tell me something interesting about a lighthouse in a few words.|punctuation:no_comma|Its lamp warns ships of rocks from miles away.|Sure thing! This sentence follows the rule.
Write a short note about bread.|punctuation:no_comma|Flour and water rise with yeast and come out of the oven with a crust.|Please let me know what else you need today.
Describe a violin in one or two sentences.|punctuation:no_comma|Four strings and a bow make this small wooden instrument sing.|Commas are not used anywhere in this text.
What is special about chess? Answer briefly.|punctuation:no_comma|Two players can play for a lifetime and never see the same game twice.|Thank you for asking. Have a nice day.
Tell me something interesting about tea in a few words.|punctuation:no_comma|The same leaves give a green or a black cup.|My cat likes to sleep on the sofa.
Write a short note about a desert.|punctuation:no_comma|Sand and heat by day and bitter cold by night with hardly a drop of rain.|The note is short and simple as you wanted.
Describe an umbrella in one or two sentences.|punctuation:no_comma|Fold it out and the cloth on its ribs keeps you dry.|Of course! I will describe it right away.
What is special about a telescope? Answer briefly.|punctuation:no_comma|It gathers so much light that faraway galaxies can be seen.|It is very special and unique in every way.
Tell me something interesting about snow in a few words.|punctuation:no_comma|No two flakes have quite the same six arms.|A list of words follows: one two three.
Write a short note about a castle.|punctuation:no_comma|Thick walls and towers kept the knights safe behind the moat.|Our offices are closed on public holidays.
Describe a bicycle in one or two sentences.|change_case:english_lowercase|two wheels and a chain carry you as far as your legs can pedal.|i will only use small letters from now on.
What is special about the sea in winter? Answer briefly.|change_case:english_lowercase|grey waves roll on to an empty beach and the wind tastes of salt.|sure! here is my answer in lowercase.
Tell me something interesting about a library in a few words.|change_case:english_lowercase|you can borrow thousands of books there for nothing.|the quick brown fox jumps over the lazy dog.
Write a short note about a busy market.|change_case:english_lowercase|sellers shout their prices over heaps of fruit and fish.|this is a note. it is short. it is written in small letters.
Describe a train station in one or two sentences.|change_case:english_lowercase|people with suitcases hurry along the platforms while departures are called out.|i'm sorry, but i need more details to help you.
What is special about the colour red? Answer briefly.|change_case:english_lowercase|it is the shade of blood and roses and makes hearts beat faster.|i hope this answer was useful to you.
Tell me something interesting about an old tree in a few words.|change_case:english_lowercase|its rings tell how many summers it has lived.|something interesting, told in a few words.
Write a short note about a birthday party.|change_case:english_lowercase|candles on the cake and presents on the table for the girl who turned nine.|water boils at one hundred degrees.
Describe a garden in spring in one or two sentences.|change_case:english_lowercase|tulips open and the first green shoots push up between the beds.|all letters in this answer are lowercase letters.
What is special about a mountain village? Answer briefly.|change_case:english_lowercase|a few stone houses cling to the slope high above the valley.|that is a good question, thank you for asking it.
Tell me something interesting about a football match in a few words.|change_case:english_lowercase|a single goal in ninety minutes can decide it.|yes, that is correct. anything else?
Write a short note about a rainy day.|change_case:english_lowercase|drops run down the window and the streets are full of puddles.|the rule says that no capital letter may be used.
Describe a kitchen in one or two sentences.|startend:end_checker|Pots simmer on the stove and it smells of onions and fresh herbs. That is all.|That is all.
What is special about a river boat? Answer briefly.|startend:end_checker|You glide past fields and towns without ever losing sight of the banks. That is all.|I have nothing more to say about it. That is all.
Tell me something interesting about a good neighbour in a few words.|startend:end_checker|She waters your plants when you are away next door. That is all.|The answer ends with the words that were asked for. That is all.
Write a short note about a school trip.|startend:end_checker|The whole class went to the museum by bus with their teacher. That is all.|I will end my reply with the phrase. That is all.
Describe a cat in one or two sentences.|startend:end_checker|It purrs on your lap and catches mice at night. That is all.|Let me know if you have more questions. That is all.
What is special about the city at night? Answer briefly.|startend:end_checker|Neon signs and lit windows shine over streets that never quite sleep. That is all.|Two plus two makes four. That is all.
Tell me something interesting about a bicycle in a few words.|startend:end_checker|It stays upright because it rolls. That is all.|Here you go, as you wished. That is all.
Write a short note about the moon.|startend:end_checker|Twelve people have walked on its grey dust. That is all.|The train to Vienna leaves at noon. That is all.
"""


def main():
    kwargs = {"startend:end_checker": {"end_phrase": "That is all."}}
    records = []
    for row in ROWS.strip().split("\n"):
        query, kind, on, off = row.split("|")
        record = {"key": len(records) + 1, "prompt": query, "instruction_id_list": [kind], "kwargs": [kwargs.get(kind, {})]}
        records.append(record | {"on": on, "off": off})
    path = pathlib.Path(__file__).with_name("query_pairs.jsonl")
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


if __name__ == "__main__":
    main()
