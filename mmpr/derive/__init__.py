"""Builds from builds: a part of one, or several put together. Nothing is sampled, judged or paired again.

where ─▶ columns ─▶ selecting ─┐
                    merge  ─┴▶ copying ─▶ a folder beside --out, unit by unit ─▶ renamed to --out when it is whole
"""
