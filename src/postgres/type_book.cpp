// Walks results for the numbers of types, and pg_type for what they are.
#include "postgres/type_book.hpp"

#include "postgres/libpq.hpp"
#include "values/wire_reader.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

// Those below stand in PostgreSQL's sources and never change.
constexpr oid first_of_a_database = 10'000;
constexpr oid array_of_records = 2287;
constexpr int deepest = 32;  // records within records

class gatherer {
public:
    gatherer(const wire::known_types* known, std::vector<oid>& missing)
        : known_(known), missing_(missing) {}

    void add(oid type) {
        const bool is_new = type >= first_of_a_database && !(known_ && known_->find(type)) &&
                            std::find(missing_.begin(), missing_.end(), type) == missing_.end();
        if (is_new) {
            missing_.push_back(type);
        }
    }

    // The fields of a record tell their types; those of a named composite are in the catalog.
    void add_of_records(const field_view& field, int depth) {
        if (depth == deepest || field.is_null()) {
            return;
        }
        try {
            wire::octet_reader in(field, "record");
            if (field.type() == array_of_records) {
                const std::int32_t dimensions = in.take_int();
                in.take(8);
                for (std::int32_t i = 0; i < dimensions; ++i) {
                    in.take(8);
                }
                while (!in.at_end()) {
                    add_of_records(field.inner(oids::record, in.take_value()), depth + 1);
                }
                return;
            }
            for (std::int32_t left = in.take_int(); left > 0; --left) {
                const oid type = in.take<std::uint32_t>();
                const auto value = in.take_value();
                add(type);
                if (type == oids::record || type == array_of_records) {
                    add_of_records(field.inner(type, value), depth + 1);
                }
            }
        } catch (const error&) {  // malformed, which its reader will say
        }
    }

private:
    const wire::known_types* known_;
    std::vector<oid>& missing_;
};

// In text only the delimiter of an array is needed.
bool may_be_array_text(const field_view& field) {
    return field.data().starts_with('{') || field.data().starts_with('[');
}

}  // namespace

bool type_book::concerns(const result& answer) {
    return concerns(answer.result_.get());
}

bool type_book::concerns(const PGresult* answer) {
    for (int column = 0; column < PQnfields(answer); ++column) {
        const oid type = PQftype(answer, column);
        if (type >= first_of_a_database || type == oids::record || type == array_of_records) {
            return true;
        }
    }
    return false;
}

std::vector<oid> type_book::missing_in(const std::vector<result*>& answers) const {
    std::vector<oid> missing;
    gatherer all(known_.get(), missing);
    for (const result* const answer : answers) {
        if (answer->empty()) {
            continue;
        }
        for (std::size_t column = 0; column < answer->column_count(); ++column) {
            const oid type = answer->column_type(column);
            const bool records = type == oids::record || type == array_of_records;
            if (type < first_of_a_database && !records) {
                continue;
            }
            for (const row_view row : *answer) {
                const field_view field = row[column];
                if (!records && (field.is_binary() || may_be_array_text(field))) {
                    all.add(type);
                    break;
                }
                if (records && field.is_binary()) {
                    all.add_of_records(field, 0);
                }
            }
        }
    }
    return missing;
}

statement type_book::question(int server_version) {
    // Multiranges, and their column, came with PostgreSQL 14.
    const bool multi = server_version >= 140'000;
    const std::string range_of =
        multi ? "type.oid IN (span.rngtypid, span.rngmultitypid)" : "type.oid = span.rngtypid";
    const std::string inside = multi ? "CASE WHEN type.oid = span.rngmultitypid "
                                       "THEN span.rngtypid ELSE 0 END"
                                     : "0::oid";
    return statement(
               "WITH RECURSIVE asked(oid) AS ("
               "SELECT pg_catalog.unnest($1::pg_catalog.oid[]) UNION "
               "SELECT part.oid FROM asked JOIN pg_catalog.pg_type type ON type.oid = asked.oid "
               "LEFT JOIN pg_catalog.pg_range span ON " +
               range_of +
               " CROSS JOIN LATERAL (VALUES (type.typbasetype), (type.typelem), "
               "(span.rngsubtype), (span.rngtypid) UNION ALL "
               "SELECT atttypid FROM pg_catalog.pg_attribute WHERE attrelid = type.typrelid "
               "AND type.typrelid <> 0 AND attnum > 0 AND NOT attisdropped) part(oid) "
               "WHERE part.oid >= 10000) "
               "SELECT type.oid::pg_catalog.int8, pg_catalog.format_type(type.oid, "
               "NULL)::pg_catalog.text, "
               "type.typbasetype::pg_catalog.int8, "
               "(CASE WHEN type.typcategory = 'A' THEN type.typelem ELSE 0 END)::pg_catalog.int8, "
               "COALESCE(CASE WHEN type.oid = span.rngtypid THEN span.rngsubtype ELSE 0 END, 0)"
               "::pg_catalog.int8, COALESCE(" +
               inside +
               ", 0)::pg_catalog.int8, type.typdelim::pg_catalog.text, "
               "COALESCE(sends.prosrc IN ('textsend', 'varcharsend', 'bpcharsend', 'namesend', "
               "'enum_send', 'json_send', 'xml_send', 'unknownsend'), false) "
               "FROM asked JOIN pg_catalog.pg_type type ON type.oid = asked.oid "
               "LEFT JOIN pg_catalog.pg_range span ON " +
               range_of + " LEFT JOIN pg_catalog.pg_proc sends ON sends.oid = type.typsend")
        .unprepared();
}

params type_book::question_values(const std::vector<oid>& asked) {
    std::string list = "{";
    for (const oid type : asked) {
        list += (list.size() > 1 ? "," : "") + std::to_string(type);
    }
    return params(list + "}");
}

void type_book::learn(const std::vector<oid>& asked, const result& answer) {
    const auto known = known_ ? std::make_shared<wire::known_types>(*known_)
                              : std::make_shared<wire::known_types>();
    for (const oid type : asked) {
        known->add(type, {});
    }
    for (const row_view row : answer) {
        wire::known_type what;
        what.name = row[1].as<std::string>();
        what.base = row[2].as<oid>();
        what.element = row[3].as<oid>();
        what.bound = row[4].as<oid>();
        what.range = row[5].as<oid>();
        what.delimiter = row[6].as<char>();
        what.is_text = row[7].as<bool>();
        known->add(row[0].as<oid>(), std::move(what));
    }
    known_ = known;
}

void type_book::tell(const std::vector<result*>& answers) const {
    for (result* const answer : answers) {
        answer->types_ = known_;
    }
}

std::vector<result*> type_book::concerned(pipeline_results& all) {
    std::vector<result*> answers;
    for (pipeline_results::entry& one : all.entries_) {
        if (concerns(one.answer)) {
            answers.push_back(&one.answer);
        }
    }
    return answers;
}

std::vector<result*> type_book::concerned(std::vector<result>& all) {
    std::vector<result*> answers;
    for (result& one : all) {
        if (concerns(one)) {
            answers.push_back(&one);
        }
    }
    return answers;
}

}  // namespace bitdotio
